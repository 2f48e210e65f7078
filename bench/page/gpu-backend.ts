import * as ort from 'onnxruntime-web/webgpu';
import type { Backend } from '../../src/bench/backend.js';
import { type Gpu, openGpu } from '../../src/kernels/gpu.js';
import type { Feeds, SessionFactory } from '../../src/session.js';

/** onnxruntime on WebGPU, inputs and outputs staying on the device; and a device for own kernels. */
export function gpuBackend(createSession: SessionFactory, peakBytes: () => number): Backend {
  let gpu: Promise<Gpu> | undefined;
  return {
    createSession,
    peakBytes,
    gpu() {
      gpu ??= openGpu();
      return gpu;
    },
    async open(bytes) {
      const session = await ort.InferenceSession.create(bytes, {
        executionProviders: ['webgpu'],
        preferredOutputLocation: 'gpu-buffer',
      });
      const device = await ort.env.webgpu.device;
      return {
        async prepare(feeds) {
          const inputs = upload(device, feeds);
          let outputs: ort.InferenceSession.ReturnType = {};
          const drop = () => {
            for (const tensor of Object.values(outputs)) tensor.dispose();
            outputs = {};
          };
          return {
            async run() {
              drop();
              outputs = await session.run(inputs.tensors);
              await device.queue.onSubmittedWorkDone();
            },
            async output() {
              const data = await Object.values(outputs)[0]?.getData();
              return data instanceof Float32Array ? data : new Float32Array(0);
            },
            async release() {
              drop();
              for (const buffer of inputs.buffers) buffer.destroy();
            },
          };
        },
        release: () => session.release(),
      };
    },
  };
}

function upload(device: GPUDevice, feeds: Feeds) {
  const buffers: GPUBuffer[] = [];
  const tensors = Object.entries(feeds).map(([name, { data, dims }]) => {
    const values = Float32Array.from(data as ArrayLike<number>);
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const buffer = device.createBuffer({ size: values.byteLength, usage: STORAGE | COPY_SRC | COPY_DST });
    device.queue.writeBuffer(buffer, 0, values);
    buffers.push(buffer);
    return [name, ort.Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims })] as const;
  });
  return { buffers, tensors: Object.fromEntries(tensors) };
}
