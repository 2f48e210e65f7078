/** onnxruntime-web on WebGPU, in Node and in a browser alike. */
import { webgpu } from '../kernels/device.js';

const inNode = typeof window === 'undefined' && typeof process !== 'undefined' && !!process.versions?.node;
if (inNode && webgpu) {
  // Named by a variable: a browser's server would follow a literal into Node's modules.
  const nodeOnly = './webgpu-in-node.js';
  (await import(/* @vite-ignore */ nodeOnly)).installWebGpu();
}

export const ort = await import('onnxruntime-web/webgpu');
ort.env.wasm.numThreads = 1;
const runtime = '/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify';
const base = inNode ? new URL('../..', import.meta.url).href.replace(/\/$/, '') : '';
ort.env.wasm.wasmPaths = { mjs: `${base}${runtime}.mjs`, wasm: `${base}${runtime}.wasm` };
