import type { Machine } from '../../src/bench/result.js';
import type { BenchBackend } from '../../src/bench/run.js';
import { describeAdapter } from './adapter.js';

/** What this browser offers; threads only where the page is cross-origin isolated. */
export async function findBackends(): Promise<BenchBackend[]> {
  const memory = 'WebAssembly memory, which never shrinks';
  const found: BenchBackend[] = [
    { name: 'wasm-1', what: 'onnxruntime-web, WebAssembly', threads: 1, memory, forms: ['model'] },
  ];
  const threads = crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  if (threads > 1)
    found.push({ name: 'wasm', what: 'onnxruntime-web, WebAssembly', threads, memory, forms: ['model'] });
  const adapter = await describeAdapter();
  if (adapter) {
    const what = `WebGPU, onnxruntime-web and own kernels`;
    const held = 'GPU buffers alive at a time, arrays and those the runtime keeps for reuse';
    found.push({ name: 'webgpu', what, threads: 1, memory: held, adapter, forms: ['model', 'kernels'] });
  }
  return found;
}

/** A browser says little of its machine, and what it says is what a result can be shared with. */
export function describeBrowser(): Machine {
  const { versions, commit } = __BUILD__;
  const browser = /(?:Firefox|Edg|Chrome|Version)\/[\d.]+/.exec(navigator.userAgent)?.[0] ?? navigator.userAgent;
  const system = /\(([^)]*)\)/.exec(navigator.userAgent)?.[1] ?? 'unknown system';
  const [name, version] = browser.split('/');
  return {
    what: `${name} on ${system}`,
    cores: navigator.hardwareConcurrency,
    versions: { ...versions, [name.toLowerCase()]: version ?? '' },
    ...(commit && { commit }),
  };
}
