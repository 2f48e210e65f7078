/** @jax-js/jax, loaded when something is trained: an optional peer, which nothing else needs. */
import type { Array as JaxArray } from '@jax-js/jax';
import { PerformersError } from '../errors.js';

export type Jax = typeof import('@jax-js/jax');
export type { JaxArray };
/** @jax-js/onnx: a model as a function of its inputs, to be differentiated. */
export type JaxOnnx = typeof import('@jax-js/onnx');

/**
 * The library, ready on WebAssembly: in Node and in every browser, and the same bits in all of them.
 * @throws PerformersError PF426 when it is not installed, or does not start
 */
export async function loadJax(load: () => Promise<Jax> = () => import('@jax-js/jax')): Promise<Jax> {
  try {
    const jax = await load();
    await jax.init('wasm');
    jax.defaultDevice('wasm');
    return jax;
  } catch (cause) {
    throw new PerformersError('PF426', '@jax-js/jax could not be loaded', {
      at: 'learn',
      mend: 'npm install @jax-js/jax; features that are not trained do without it',
      cause,
    });
  }
}

/** @throws PerformersError PF426 when it is not installed */
export async function loadJaxOnnx(load: () => Promise<JaxOnnx> = () => import('@jax-js/onnx')): Promise<JaxOnnx> {
  try {
    return await load();
  } catch (cause) {
    throw new PerformersError('PF426', '@jax-js/onnx could not be loaded', {
      at: 'heal',
      mend: 'npm install @jax-js/jax @jax-js/onnx; healing by gain and mlp does without them',
      cause,
    });
  }
}
