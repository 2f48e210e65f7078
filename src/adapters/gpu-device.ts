/**
 * The WebGPU device of an onnxruntime module, and what becomes of it. onnxruntime makes one device when its first session is opened and keeps it,
 * even when it is lost; so that a page need not be loaded again then, later sessions are given a new one.
 */
import { PerformersError } from '../errors.js';
import type { OnnxRuntime, OrtTensor, SessionOptions } from './ort.js';

/** An onnxruntime module whose WebGPU sessions can be given a device: `onnxruntime-web/webgpu` and `/jspi`. */
export interface GpuRuntime extends OnnxRuntime {
  readonly env: {
    readonly versions: { readonly node?: string };
    readonly webgpu: { readonly device: Promise<GPUDevice> | GPUDevice };
  };
  readonly Tensor: OnnxRuntime['Tensor'] & {
    fromGpuBuffer(buffer: GPUBuffer, options: { dataType: 'float32'; dims: readonly number[] }): OrtTensor;
  };
  registerBackend(name: string, backend: object, priority: number): void;
}

type Providers = NonNullable<SessionOptions['executionProviders']>;
type Provider = Providers[number];

/** By runtime: the device in use, once it is known. */
const current = new WeakMap<object, GPUDevice>();
const lostDevices = new WeakMap<GPUDevice, GPUDeviceLostInfo>();
const listeners = new WeakMap<GPUDevice, Set<(info: GPUDeviceLostInfo) => void>>();

const nameOf = (provider: Provider) => (typeof provider === 'string' ? provider : provider.name);
export const usesGpu = (providers: Providers = []) => providers.some((provider) => nameOf(provider) === 'webgpu');

export function isGpuRuntime(ort: OnnxRuntime): ort is GpuRuntime {
  const { env, registerBackend } = ort as Partial<GpuRuntime>;
  return typeof registerBackend === 'function' && env?.webgpu !== undefined && env.versions.node === undefined;
}

/**
 * The execution providers with a device that works: the one given, onnxruntime's own, or a new one where that is lost.
 *
 * @throws PerformersError PF701 where there is no adapter, PF702 where `f16` is needed and the adapter has no shader-f16, PF704 where the
 *   device given is lost
 */
export async function workingProviders(
  ort: GpuRuntime,
  providers: Providers,
  { f16 }: { readonly f16: boolean },
): Promise<Providers> {
  const given = providers.map(deviceOf).find((device) => device !== undefined);
  const info = given && lostDevices.get(given);
  if (info) throw lostBefore(info);
  if (given) {
    if (f16 && !given.features.has('shader-f16')) throw noF16('the device given');
    return providers;
  }
  const adapter = await requestAdapter();
  if (f16 && !adapter.features.has('shader-f16')) throw noF16('the adapter');
  const known = current.get(ort.env);
  if (!known) return providers;
  const device = lostDevices.has(known) ? await newDevice(adapter) : known;
  watchDevice(device);
  current.set(ort.env, device);
  // onnxruntime's own is asked for by no name; one of ours is named.
  if (device === (await ort.env.webgpu.device)) return providers;
  return providers.map((provider) =>
    nameOf(provider) === 'webgpu'
      ? { ...(typeof provider === 'string' ? {} : provider), name: 'webgpu', device }
      : provider,
  );
}

/** The device that sessions of a runtime are opened on, once there was one. */
export const deviceInUse = (ort: GpuRuntime) => current.get(ort.env);

/** The device of a session that was opened with these providers. */
export async function sessionDevice(ort: GpuRuntime, providers: Providers): Promise<GPUDevice> {
  const device = providers.map(deviceOf).find((own) => own !== undefined) ?? (await ort.env.webgpu.device);
  if (!providers.some((provider) => deviceOf(provider) !== undefined)) current.set(ort.env, device);
  watchDevice(device);
  return device;
}

/** Why a device was lost, if it was. A device that is lost says so a moment after the work on it has failed. */
export async function lossOf(device: GPUDevice): Promise<GPUDeviceLostInfo | undefined> {
  if (!lostDevices.has(device)) await new Promise((resolve) => setTimeout(resolve, 100));
  return lostDevices.get(device);
}

export const lossNow = (device: GPUDevice) => lostDevices.get(device);

/** Calls `listener` when a device of a session is lost; the function returned takes it off again. */
export function whenLost(device: GPUDevice, listener: (info: GPUDeviceLostInfo) => void): () => void {
  listeners.get(device)?.add(listener);
  return () => listeners.get(device)?.delete(listener);
}

export function lostDuringRun(info: GPUDeviceLostInfo, cause?: unknown): PerformersError {
  return new PerformersError('PF704', `the device was lost (${info.reason}): ${info.message || 'no reason given'}`, {
    at: 'session.run',
    mend: 'create the session again: it gets a new device; if it is lost again, try a shorter input, or wasm',
    cause,
  });
}

function watchDevice(device: GPUDevice): void {
  if (listeners.has(device)) return;
  const own = new Set<(info: GPUDeviceLostInfo) => void>();
  listeners.set(device, own);
  device.lost.then((info) => {
    lostDevices.set(device, info);
    for (const listener of own) listener(info);
  });
}

function deviceOf(provider: Provider): GPUDevice | undefined {
  return typeof provider === 'object' && 'device' in provider ? (provider.device as GPUDevice) : undefined;
}

/** The class of the adapter at hand, by which measurements are told apart. @throws PerformersError PF701 */
export async function adapterClass(): Promise<string> {
  const { vendor, architecture, description } = (await requestAdapter()).info;
  return [vendor, architecture].filter(Boolean).join(' ') || description || 'unknown';
}

async function requestAdapter(): Promise<GPUAdapter> {
  const gpu = typeof navigator === 'undefined' ? undefined : navigator.gpu;
  const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter) return adapter;
  throw new PerformersError('PF701', gpu ? 'WebGPU offers no adapter' : 'there is no navigator.gpu', {
    at: 'executionProviders',
    mend: gpu
      ? "run on wasm (`fallback: 'wasm'` does so by itself), or allow software rendering"
      : "use a browser with WebGPU, over https or localhost, or run on wasm (`fallback: 'wasm'` does so by itself)",
  });
}

/** What onnxruntime asks of a device of its own: the features that its kernels use, and limits as high as they go. */
async function newDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const features = ['shader-f16', 'subgroups', 'timestamp-query'] as const;
  const limits = [
    'maxBufferSize',
    'maxStorageBufferBindingSize',
    'maxStorageBuffersPerShaderStage',
    'maxComputeWorkgroupStorageSize',
    'maxComputeInvocationsPerWorkgroup',
    'maxComputeWorkgroupSizeX',
    'maxComputeWorkgroupSizeY',
    'maxComputeWorkgroupSizeZ',
    'maxComputeWorkgroupsPerDimension',
  ] as const;
  return adapter.requestDevice({
    label: 'performers',
    requiredFeatures: features.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(limits.map((limit) => [limit, adapter.limits[limit]])),
  });
}

function noF16(what: string): PerformersError {
  return new PerformersError('PF702', `the model computes in float16, and ${what} has no shader-f16`, {
    at: 'executionProviders',
    mend: "use the float32 or a quantised file of the model (dtype: 'fp32', 'q8'), or run on wasm",
  });
}

function lostBefore(info: GPUDeviceLostInfo): PerformersError {
  return new PerformersError('PF704', `the device given was lost before (${info.reason}): ${info.message}`, {
    at: 'executionProviders',
    mend: 'pass a new device, or none',
  });
}
