/** onnxruntime-web on WebGPU, in Node and in a browser alike. */
import { webgpu } from '../kernels/device.js';

export const inNode = typeof window === 'undefined' && typeof process !== 'undefined' && !!process.versions?.node;
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

/**
 * Lines that onnxruntime prints from now on. To be called before the first session is opened: it takes hold of the console then, in Node
 * of the file descriptors behind it.
 */
export async function listen(): Promise<string[]> {
  const lines: string[] = [];
  const taken = (text: string) => {
    if (!/onnxruntime:/.test(text)) return false;
    lines.push(...text.split('\n'));
    return true;
  };
  if (inNode) {
    const nodeOnly = 'node:fs';
    const { default: fs }: { default: typeof import('node:fs') } = await import(/* @vite-ignore */ nodeOnly);
    const { writeSync } = fs;
    fs.writeSync = ((fd: number, text: string, ...rest: never[]) =>
      typeof text === 'string' && taken(text) ? text.length : writeSync(fd, text, ...rest)) as typeof writeSync;
  } else {
    for (const method of ['log', 'error'] as const) {
      const print = console[method].bind(console);
      console[method] = (...words: unknown[]) => taken(words.join(' ')) || print(...words);
    }
  }
  return lines;
}

/** Bytes of a file of this repository. */
export async function readFile(path: string): Promise<Uint8Array> {
  if (!inNode) return new Uint8Array(await (await fetch(`/${path}`)).arrayBuffer());
  const nodeOnly = 'node:fs';
  const fs: typeof import('node:fs') = await import(/* @vite-ignore */ nodeOnly);
  return new Uint8Array(fs.readFileSync(new URL(`../../${path}`, import.meta.url)));
}
