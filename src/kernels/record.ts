/**
 * Work on a device, recorded and then submitted as one. What is asked for is data until then: the uniforms of all dispatches go into one
 * buffer, pipelines come from a cache of the device, and error scopes around it all turn what goes wrong into one typed error.
 */
import { PerformersError } from '../errors.js';
import { bytesOf, type ElementType, type GpuArray } from './array.js';
import { deviceLost, type Gpu } from './gpu.js';
import { checkNames, type Kernel, type Parameters, packUniform } from './kernel.js';
import { dropPipelines, pipelineOf } from './pipeline.js';
import { bufferUsage } from './pool.js';

export interface Dispatch {
  readonly kernel: Kernel;
  readonly parameters: Parameters;
  /** Every storage binding of the file by name; undefined where these parameters leave it unread. */
  readonly bindings: Readonly<Record<string, GpuArray | undefined>>;
  /** Every field of the uniform by name. */
  readonly uniform: Readonly<Record<string, number>>;
  /** So many workgroups, or as many as three u32 of an array say. */
  readonly groups: number | { readonly indirect: GpuArray };
}

export interface Recording {
  readonly gpu: Gpu;
  /** An array the caller of `run` frees. */
  result(type: ElementType, length: number): GpuArray;
  /** An array that goes back to the pool when the work is submitted. */
  scratch(type: ElementType, length: number): GpuArray;
  /** Scratch arrays that `build` takes are had again by those that follow: what uses them then runs behind it. */
  scoped(build: () => void): void;
  dispatch(dispatch: Dispatch): void;
  /** Copies all of `from` to `into`, from element `at` on; both whole numbers of 4 bytes. */
  copy(from: GpuArray, into: GpuArray, at?: number): void;
  /** Fills an array with zeros, to the end of its last whole word. */
  clear(array: GpuArray): void;
}

type Step =
  | Dispatch
  | { readonly cleared: GpuArray }
  | { readonly from: GpuArray; readonly into: GpuArray; readonly at: number };

/**
 * Records what `build` asks for and submits it; resolves when the device has accepted it. Reading back waits for the results.
 *
 * @throws PerformersError PF703 out of memory, PF704 device lost, PF707 refused by the device, and what `build` throws.
 *   Nothing is left behind then: every array taken is destroyed.
 */
export async function run<T>(gpu: Gpu, build: (recording: Recording) => T): Promise<T> {
  const { value, results, accepted } = submitNow(gpu, build);
  try {
    await accepted;
    return value;
  } catch (error) {
    for (const buffer of results) gpu.pool.drop(buffer);
    throw error;
  }
}

/** Work that is on its way. */
export interface Submission<T> {
  /** May be used by what is submitted later. */
  readonly value: T;
  /** Of every array of `result`; where `accepted` rejects, dropping them is left to the caller. */
  readonly results: readonly GPUBuffer[];
  /** @throws PerformersError PF703, PF704, PF707 as `run` does */
  readonly accepted: Promise<void>;
}

/**
 * `run` without the wait, for several submissions behind one another.
 *
 * @throws PerformersError PF704 where the device is lost already, and what `build` throws
 */
export function submitNow<T>(gpu: Gpu, build: (recording: Recording) => T): Submission<T> {
  const before = gpu.lost();
  if (before) throw deviceLost(before);
  const { device, pool } = gpu;
  const results: GPUBuffer[] = [];
  const scratch: GPUBuffer[] = [];
  const steps: Step[] = [];
  // Scratch arrays that are through. Not the pool's yet: what the host writes into one of those is there before all steps.
  const spare: GPUBuffer[] = [];
  const take = (into: GPUBuffer[], type: ElementType, length: number) => {
    const bytes = length * bytesOf[type];
    const again = into === scratch ? spare.findIndex(({ size }) => size >= bytes && size - bytes < 256) : -1;
    const buffer = again < 0 ? pool.take(bytes) : spare.splice(again, 1)[0];
    into.push(buffer);
    return { buffer, type, length };
  };
  const scopes = ['internal', 'out-of-memory', 'validation'] as const;
  for (const scope of scopes) device.pushErrorScope(scope);
  const answers = () => Promise.all(scopes.map(() => device.popErrorScope()));
  let value: T;
  try {
    value = build({
      gpu,
      result: (type, length) => take(results, type, length),
      scratch: (type, length) => take(scratch, type, length),
      scoped(inner) {
        const before = scratch.length;
        inner();
        spare.push(...scratch.splice(before));
      },
      dispatch: (dispatch) => steps.push(dispatch),
      copy: (from, into, at = 0) => steps.push({ from, into, at }),
      clear: (cleared) => steps.push({ cleared }),
    });
    submit(gpu, steps);
  } catch (error) {
    for (const buffer of [...results, ...scratch, ...spare]) pool.drop(buffer);
    answers().catch(() => undefined);
    throw error;
  }
  // What is recorded next may have them at once: the device runs it behind this.
  for (const buffer of [...scratch, ...spare]) pool.give(buffer);
  return { value, results, accepted: accept(gpu, answers()) };
}

async function accept(gpu: Gpu, answers: Promise<(GPUError | null)[]>): Promise<void> {
  const { device, pool } = gpu;
  let off = () => {};
  // Scopes of a lost device may never be answered.
  const outcome = await new Promise<(GPUError | null)[]>((resolve) => {
    off = gpu.whenLost(() => resolve([]));
    // They reject before a lost device says that it is lost.
    answers.then(resolve, () => setTimeout(() => resolve([]), 100));
  });
  off();
  const lost = gpu.lost();
  const errors = outcome.filter((error) => error !== null);
  if (!lost && errors.length === 0) return;
  // Scratch arrays the device could not make, and invalid pipelines, would be found again.
  pool.trim();
  dropPipelines(device);
  throw lost ? deviceLost(lost) : refusal(errors);
}

/** Workgroups in a grid whose sides are at most `limit`. Kernels count row by row and leave what is too much. */
export function grid(groups: number, limit: number): [number, number] {
  const rows = Math.max(1, Math.ceil(groups / limit));
  if (rows <= limit) return [Math.ceil(groups / rows), rows];
  throw new PerformersError('PF706', `${groups} workgroups are more than the device's ${limit} × ${limit}`, {
    at: 'maxComputeWorkgroupsPerDimension',
    mend: 'run fewer heads or a smaller batch at a time',
  });
}

function submit(gpu: Gpu, steps: readonly Step[]): void {
  const { device } = gpu;
  const dispatches = steps.filter((step) => 'kernel' in step);
  const stride = Math.max(256, device.limits.minUniformBufferOffsetAlignment);
  const uniforms = device.createBuffer({
    label: 'performers uniforms',
    size: Math.max(1, dispatches.length) * stride,
    usage: bufferUsage.UNIFORM | bufferUsage.COPY_DST,
  });
  const bytes = new Uint8Array(uniforms.size);
  dispatches.forEach(({ kernel, uniform }, i) => {
    bytes.set(new Uint8Array(packUniform(kernel, uniform)), i * stride);
  });
  device.queue.writeBuffer(uniforms, 0, bytes);
  const encoder = device.createCommandEncoder({ label: 'performers' });
  let pass: GPUComputePassEncoder | undefined;
  let index = 0;
  for (const step of steps) {
    if ('kernel' in step) {
      pass ??= encoder.beginComputePass({ label: 'performers' });
      encode(gpu, pass, step, { buffer: uniforms, offset: stride * index++, size: stride });
    } else {
      pass?.end();
      pass = undefined;
      if ('cleared' in step) {
        const { buffer, type, length, offset = 0 } = step.cleared;
        encoder.clearBuffer(buffer, offset, Math.ceil((length * bytesOf[type]) / 4) * 4);
        continue;
      }
      const { from, into, at } = step;
      const offset = (into.offset ?? 0) + at * bytesOf[into.type];
      const size = from.length * bytesOf[from.type];
      encoder.copyBufferToBuffer(from.buffer, from.offset ?? 0, into.buffer, offset, size);
    }
  }
  pass?.end();
  device.queue.submit([encoder.finish()]);
  // Destroyed when the queue is through with it.
  uniforms.destroy();
}

function encode(gpu: Gpu, pass: GPUComputePassEncoder, dispatch: Dispatch, uniform: GPUBufferBinding): void {
  const { kernel, parameters, bindings, groups } = dispatch;
  const { pipeline, names } = pipelineOf(gpu, kernel, parameters);
  const storage = names.filter((name) => name !== 'shape');
  checkNames(kernel, 'binding', storage, Object.keys(bindings));
  // Something must be bound where nothing is read: what is given first, which kernels read.
  const any = Object.values(bindings).find((array) => array !== undefined);
  const entries = names.map((name, binding) => {
    if (name === 'shape') return { binding, resource: uniform };
    const array = bindings[name] ?? any;
    if (!array) throw new TypeError(`${kernel.name} is bound to nothing`);
    const { buffer, type, length, offset = 0 } = array;
    // Whole numbers of 16 bytes, as the elements may be vectors.
    const size = Math.min(Math.ceil(Math.max(1, length * bytesOf[type]) / 16) * 16, buffer.size - offset);
    return { binding, resource: { buffer, offset, size } };
  });
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    gpu.device.createBindGroup({ label: kernel.name, layout: pipeline.getBindGroupLayout(0), entries }),
  );
  if (typeof groups === 'number') pass.dispatchWorkgroups(...grid(groups, gpu.limits.groups));
  else pass.dispatchWorkgroupsIndirect(groups.indirect.buffer, groups.indirect.offset ?? 0);
}

function refusal(errors: readonly GPUError[]): PerformersError {
  // By structure: GPUOutOfMemoryError is no global in Node.
  const memory = errors.find((error) => error.constructor.name === 'GPUOutOfMemoryError');
  const [first] = errors;
  if (memory) {
    return new PerformersError('PF703', `the device could not allocate: ${memory.message}`, {
      at: 'run',
      mend: 'use a shorter input, a smaller batch or float16, or free arrays that are no longer needed',
      cause: memory,
    });
  }
  return new PerformersError('PF707', `the device refused the work: ${first.message}`, {
    at: 'run',
    mend: 'report this with the message above and the browser and device it came from',
    cause: first,
  });
}
