/** A device with what kernels need to know of it: its limits, its features, its buffers. */
import { PerformersError } from '../errors.js';
import { type BufferPool, createPool } from './pool.js';

/** Read from the device; smaller ones may be given to leave room, or to try how shapes are split. */
export interface KernelLimits {
  /** maxStorageBufferBindingSize */
  readonly bindingBytes: number;
  /** maxComputeWorkgroupsPerDimension */
  readonly groups: number;
  /** maxComputeWorkgroupStorageSize */
  readonly workgroupBytes: number;
  /** maxComputeInvocationsPerWorkgroup */
  readonly threads: number;
}

export interface Gpu {
  readonly device: GPUDevice;
  readonly limits: KernelLimits;
  /** shader-f16 is enabled. */
  readonly f16: boolean;
  /** WGSL has dot4I8Packed; without it kernels compute the same in shifts. */
  readonly packedDot: boolean;
  readonly pool: BufferPool;
  /** Why the device was lost, if it was. */
  lost(): GPUDeviceLostInfo | undefined;
  /** Calls `listener` when it is lost; the function returned takes it off again. A promise would keep every waiter for the device's life. */
  whenLost(listener: (info: GPUDeviceLostInfo) => void): () => void;
  /** Frees every buffer of the pool; the device too unless it was given. */
  destroy(): void;
}

export interface GpuOptions {
  /** Default: `navigator.gpu`. In Node: `create([])` of the package webgpu. */
  readonly gpu?: GPU;
  /** A device to share, such as onnxruntime-web's; `gpu` is still asked what WGSL it speaks. */
  readonly device?: GPUDevice;
  /** Arrays of float16 will be used. Default: false. */
  readonly f16?: boolean;
  readonly limits?: Partial<KernelLimits>;
  /** Default: as the device has it. False is for comparing the two. */
  readonly packedDot?: boolean;
}

/**
 * A device of its own, with the adapter's limits, or the one given.
 *
 * @throws PerformersError PF701 where there is no adapter, PF702 where `f16` is asked of a device without shader-f16, PF706 for limits larger
 *   than the device's, PF704 when the device given is lost
 */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  const gpu = options.gpu ?? (typeof navigator === 'undefined' ? undefined : navigator.gpu);
  const device = options.device ?? (await requestDevice(gpu, options));
  const f16 = device.features.has('shader-f16');
  if (options.f16 && !f16) throw noF16();
  let lost: GPUDeviceLostInfo | undefined;
  const listeners = new Set<(info: GPUDeviceLostInfo) => void>();
  device.lost.then((info) => {
    lost = info;
    for (const listener of listeners) listener(info);
  });
  // Lets `lost` of a device that is lost already settle.
  await Promise.resolve();
  if (lost) throw deviceLost(lost);
  const pool = createPool(device);
  return {
    device,
    limits: limitsOf(device, options.limits),
    f16,
    packedDot: options.packedDot ?? gpu?.wgslLanguageFeatures.has('packed_4x8_integer_dot_product') ?? false,
    pool,
    lost: () => lost,
    whenLost(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    destroy() {
      pool.destroy();
      if (!options.device) device.destroy();
    },
  };
}

async function requestDevice(gpu: GPU | undefined, { f16 = false }: GpuOptions): Promise<GPUDevice> {
  const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) {
    throw new PerformersError('PF701', gpu ? 'WebGPU offers no adapter' : 'there is no navigator.gpu', {
      at: 'openGpu',
      mend: gpu ? 'run on wasm, or allow software rendering' : 'use a browser with WebGPU, over https or localhost',
    });
  }
  if (f16 && !adapter.features.has('shader-f16')) throw noF16();
  // Kernels never need more than the defaults; larger bindings mean fewer pieces, and a device shares what it has.
  const wanted = ['maxBufferSize', 'maxStorageBufferBindingSize', 'maxComputeWorkgroupStorageSize'] as const;
  return adapter.requestDevice({
    label: 'performers',
    requiredFeatures: [...(f16 ? (['shader-f16'] as const) : [])],
    requiredLimits: Object.fromEntries(wanted.map((name) => [name, adapter.limits[name]])),
  });
}

function limitsOf({ limits }: GPUDevice, given: Partial<KernelLimits> = {}): KernelLimits {
  const own = {
    bindingBytes: limits.maxStorageBufferBindingSize,
    groups: limits.maxComputeWorkgroupsPerDimension,
    workgroupBytes: limits.maxComputeWorkgroupStorageSize,
    threads: limits.maxComputeInvocationsPerWorkgroup,
  };
  for (const [name, value] of Object.entries(given)) {
    const most = own[name as keyof KernelLimits];
    if (Number.isInteger(value) && value >= 1 && value <= most) continue;
    throw new PerformersError('PF706', `limits.${name} must be a whole number from 1 to the device's ${most}`, {
      at: `limits.${name} = ${value}`,
      mend: 'leave it out to use what the device has',
    });
  }
  return { ...own, ...given };
}

function noF16(): PerformersError {
  return new PerformersError('PF702', 'float16 was asked for, and the device does not offer shader-f16', {
    at: 'openGpu.f16',
    mend: 'use float32 arrays, or a device given with the feature shader-f16 enabled',
  });
}

export function deviceLost(info: GPUDeviceLostInfo, cause?: unknown): PerformersError {
  return new PerformersError('PF704', `the device was lost (${info.reason}): ${info.message || 'no reason given'}`, {
    at: 'device.lost',
    mend: 'open a new device and upload the arrays again; everything on the old one is gone',
    cause,
  });
}
