/** Compiled kernels, kept for the life of their device: compiling one takes longer than running it. */
import type { Gpu } from './gpu.js';
import { interfaceOf, type Kernel, type Parameters, specialise } from './kernel.js';

interface Compiled {
  readonly pipeline: GPUComputePipeline;
  /** Of the bindings, in order. */
  readonly names: readonly string[];
}

const cache = new WeakMap<GPUDevice, Map<string, Compiled>>();

/** The kernel with these parameters; the same one for the same question. Compiling goes on behind the call. */
export function pipelineOf(gpu: Gpu, kernel: Kernel, parameters: Parameters): Compiled {
  const { device } = gpu;
  const known = cache.get(device) ?? new Map<string, Compiled>();
  cache.set(device, known);
  const sorted = Object.keys(parameters).sort();
  const label = `${kernel.name} ${sorted.map((name) => `${name}=${parameters[name]}`).join(' ')}`;
  const key = kernel.text.includes('dot4I8Packed') ? `${label} ${gpu.packedDot}` : label;
  const found = known.get(key);
  if (found) return found;
  const code = specialise(kernel, parameters, gpu);
  const { bindings } = interfaceOf(kernel);
  // Given, not derived from the shader: a derived one leaves out what a variant does not read.
  const layout = device.createBindGroupLayout({
    label: kernel.name,
    entries: bindings.map(({ kind }, binding) => ({ binding, visibility: COMPUTE, buffer: { type: kind } })),
  });
  const pipeline = device.createComputePipeline({
    label,
    layout: device.createPipelineLayout({ label: kernel.name, bindGroupLayouts: [layout] }),
    compute: { module: device.createShaderModule({ label, code }), entryPoint: 'main' },
  });
  const compiled = { pipeline, names: bindings.map(({ name }) => name) };
  known.set(key, compiled);
  return compiled;
}

/** Forgets all of a device's. */
export function dropPipelines(device: GPUDevice): void {
  cache.delete(device);
}

/** GPUShaderStage.COMPUTE, which is no global in Node. */
const COMPUTE = 4;
