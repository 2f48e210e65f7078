import { availableParallelism } from 'node:os';
import type { NodeRuntime } from '../adapters/runtime.node.js';

interface NodeBackend {
  readonly runtime: NodeRuntime;
  /** Default: all processors. */
  readonly threads?: number;
  readonly what: string;
}

/** Where the command line measures. WebGPU is measured by the page. */
export const backends = {
  'wasm-1': { runtime: 'wasm', threads: 1, what: 'onnxruntime-web, WebAssembly, as in a page that is not isolated' },
  wasm: { runtime: 'wasm', what: 'onnxruntime-web, WebAssembly, as in an isolated page' },
  'cpu-1': { runtime: 'node', threads: 1, what: 'onnxruntime-node, processor' },
  cpu: { runtime: 'node', what: 'onnxruntime-node, processor' },
} satisfies Record<string, NodeBackend>;

export type BackendName = keyof typeof backends;

export function isBackendName(name: string): name is BackendName {
  return Object.hasOwn(backends, name);
}

export function threadsOf(name: BackendName): number {
  const { threads }: NodeBackend = backends[name];
  return threads ?? availableParallelism();
}
