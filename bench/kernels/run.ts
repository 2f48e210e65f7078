/**
 * npx tsx bench/kernels/run.ts [N…]: kernels on this machine's GPU, beside what the GPU can do. Measures the device's copy bandwidth and its
 * rate of a plain matmul first; a kernel's roofline is the longer of its bytes at that bandwidth and its multiply-adds at that rate, and
 * its score is roofline ÷ time. Writes bench/results/kernels.json.
 *
 * Exact attention is checked against the float64 module on a small N before anything is timed; the other kernels are checked by
 * test/kernels only. A software adapter has no roofline: scores are then
 * "unmeasured", the title says so, and no claim about speed is made from the file.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dawn } from '../../scripts/dawn.js';
import { exactAttention } from '../../src/attention/exact.js';
import { gaussians } from '../../src/features/rng.js';
import { download, type GpuArray, upload } from '../../src/kernels/array.js';
import { attend } from '../../src/kernels/attend.js';
import { causalAttention } from '../../src/kernels/causal.js';
import { featureAttention } from '../../src/kernels/double-softmax.js';
import { type Gpu, openGpu } from '../../src/kernels/gpu.js';
import { hybridAttention } from '../../src/kernels/hybrid.js';
import { type Recording, run } from '../../src/kernels/record.js';
import { compare } from '../../src/metrics.js';
import { machine } from '../machine.js';

const H = 12;
const D = 64;
const M = 128;
const scale = D ** -0.5;

interface Work {
  readonly run: (recording: Recording, arrays: Arrays, N: number) => readonly GpuArray[];
  /** Multiply-adds and numbers of 4 bytes, of one head (docs/kernels.md). */
  readonly products: (N: number) => number;
  readonly numbers: (N: number) => number;
}

type Arrays = Record<'q' | 'k' | 'v' | 'omega' | 'query' | 'weights' | 'offsets', GpuArray>;

const shape = (N: number) => ({ B: 1, H, N, S: N, D, E: D, scale });
const cases: Record<string, Work> = {
  attend: {
    run: (recording, arrays, N) => Object.values(attend(recording, { ...shape(N), ...arrays })),
    products: (N) => 2 * N * N * D,
    numbers: (N) => 4 * N * D,
  },
  'features, m = 128': {
    run: (recording, arrays, N) => Object.values(featureAttention(recording, { ...shape(N), M, ...arrays })),
    products: (N) => 4 * N * M * D,
    numbers: (N) => 4 * N * D,
  },
  'causal features, m = 128': {
    run(recording, arrays, N) {
      const { out, lse, state } = causalAttention(recording, { ...shape(N), M, ...arrays });
      return [out, lse, state.out, state.lse];
    },
    products: (N) => 6 * N * M * D,
    numbers: (N) => 4 * N * D + (2 * N * M * D) / 32,
  },
  'hybrid 64:32:32': {
    run(recording, arrays, N) {
      const codebook = { codes: 32, weights: arrays.weights, offsets: arrays.offsets };
      return [hybridAttention(recording, { ...shape(N), ...arrays, window: 64, globals: 32, codebook })];
    },
    products: (N) => 2 * N * 128 * D + N * 32 * D,
    numbers: (N) => 6 * N * D,
  },
};

const gpu = await openGpu({ gpu: dawn() });
const { vendor, architecture, device, description } = gpu.device.adapterInfo;
const software = /swiftshader|llvmpipe/i.test(`${architecture} ${device} ${description}`);
const given = process.argv.slice(2).map(Number);
const lengths = given.length > 0 ? given : software ? [128, 256] : [1024, 4096, 16_384];
await checkAgainstFloat64(gpu);
const bandwidth = await copyBandwidth(gpu, software ? 2 ** 22 : 2 ** 27);
const rate = await matmulRate(gpu, software ? 128 : 2048);
const rows = [];
for (const N of lengths) {
  const arrays = draw(gpu, N);
  for (const [name, { run: record, products, numbers }] of Object.entries(cases)) {
    const times = await timed(gpu, (recording) => record(recording, arrays, N));
    const roofline = Math.max((H * products(N)) / rate, (4 * H * numbers(N)) / bandwidth);
    const score = software ? 'unmeasured' : Number((roofline / times.median).toFixed(3));
    rows.push({ kernel: name, N, ms: times, roofline: score });
    console.log(name, N, `${times.median.toFixed(2)} ms`, score);
  }
  for (const { buffer } of Object.values(arrays)) gpu.pool.give(buffer);
}
const title = software
  ? 'Kernels on a software adapter: that they run to the end, and no claim about speed'
  : `Kernels on ${vendor} ${architecture}: fraction of a roofline measured on the same device`;
const result = {
  schema: 'performers.bench.kernels/1',
  title,
  machine: machine(),
  adapter: { vendor, architecture, device, description },
  shape: { H, D, M, type: 'f32' },
  device: software ? 'unmeasured' : { bytesPerMs: bandwidth, multiplyAddsPerMs: rate },
  rows,
};
writeFileSync(new URL('../results/kernels.json', import.meta.url), `${JSON.stringify(result, null, 1)}\n`);
console.log(title);
gpu.destroy();
process.exit(0);

/** No number from a kernel that is wrong. */
async function checkAgainstFloat64(own: Gpu): Promise<void> {
  const N = 65;
  const arrays = draw(own, N);
  const [out, lse] = await run(own, (recording) => cases.attend.run(recording, arrays, N));
  const [q, k, v] = await Promise.all([arrays.q, arrays.k, arrays.v].map((array) => download(own, array)));
  const want = exactAttention({
    ...shape(N),
    q: Float32Array.from(q),
    k: Float32Array.from(k),
    v: Float32Array.from(v),
  });
  const error = compare(await download(own, out), want).relRMS;
  if (!(error <= 1e-5)) throw new Error(`attend is ${error} from float64 on this device: nothing is timed`);
  for (const { buffer } of [out, lse, ...Object.values(arrays)]) own.pool.give(buffer);
}

function draw(own: Gpu, N: number): Arrays {
  const normal = gaussians(1);
  const make = (length: number) => upload(own, Float32Array.from({ length }, normal));
  const [q, k, v] = [1, 2, 3].map(() => make(H * N * D));
  return { q, k, v, omega: make(H * M * D), query: make(H * D), weights: make(H * D * 32), offsets: make(H * 32) };
}

/** Milliseconds from submission to the end of the queue: one run to compile, then the middle of seven. */
async function timed(own: Gpu, record: (recording: Recording) => readonly GpuArray[]) {
  const times: number[] = [];
  for (let i = 0; i < 8; i++) {
    await own.device.queue.onSubmittedWorkDone();
    const start = performance.now();
    const results = await run(own, record);
    await own.device.queue.onSubmittedWorkDone();
    if (i > 0) times.push(performance.now() - start);
    for (const { buffer } of results) own.pool.give(buffer);
  }
  times.sort((a, b) => a - b);
  return { median: times[3], p20: times[1], p80: times[5] };
}

/** Bytes read and written a millisecond. */
async function copyBandwidth(own: Gpu, bytes: number): Promise<number> {
  const from = upload(own, new Float32Array(bytes / 4));
  const { median } = await timed(own, (recording) => {
    const into = recording.result('f32', bytes / 4);
    recording.copy(from, into);
    return [into];
  });
  own.pool.give(from.buffer);
  return (2 * bytes) / median;
}

/** Multiply-adds a millisecond. */
async function matmulRate(own: Gpu, N: number): Promise<number> {
  const text = readFileSync(new URL('matmul.wgsl', import.meta.url), 'utf8');
  const normal = gaussians(2);
  const [a, b] = [1, 2].map(() => upload(own, Float32Array.from({ length: N * N }, normal)));
  const { median } = await timed(own, (recording) => {
    const c = recording.result('f32', N * N);
    const kernel = { name: 'matmul', text };
    recording.dispatch({
      kernel,
      parameters: { N },
      bindings: { a, b, c },
      uniform: { unused: 0 },
      groups: (N / 64) ** 2,
    });
    return [c];
  });
  for (const { buffer } of [a, b]) own.pool.give(buffer);
  return N ** 3 / median;
}
