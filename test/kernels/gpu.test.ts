import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { download, upload } from '../../src/kernels/array.js';
import { attend } from '../../src/kernels/attend.js';
import { addPartsKernel } from '../../src/kernels/gen/add-parts.js';
import { type Gpu, openGpu } from '../../src/kernels/gpu.js';
import { merge } from '../../src/kernels/merge.js';
import { grid, run } from '../../src/kernels/record.js';
import { kernels } from '../../src/kernels/registry.js';
import { hasF16, noDevice, open, software, webgpu } from './device.js';

const numbers = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i));
const small = { B: 1, H: 1, N: 4, S: 4, D: 8, E: 8, scale: 1 };

/** Attention of a small head, its arrays uploaded and freed. */
async function attendOnce(gpu: Gpu): Promise<ArrayLike<number>> {
  const [q, k, v] = [1, 2, 3].map(() => upload(gpu, numbers(32)));
  const { out, lse } = await run(gpu, (recording) => attend(recording, { ...small, q, k, v }));
  const got = await download(gpu, out);
  for (const { buffer } of [q, k, v, out, lse]) gpu.pool.give(buffer);
  return got;
}

describe.skipIf(noDevice)('a device', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await openGpu({ gpu: webgpu });
  });
  afterAll(() => gpu?.destroy());

  it.each(Object.entries(kernels))('takes the file as it stands: %s.wgsl', async (_name, { text }) => {
    const info = await gpu.device.createShaderModule({ code: text }).getCompilationInfo();
    expect(info.messages.map(({ message }) => message)).toEqual([]);
  });

  it('leaks nothing in 1,000 runs: every buffer is the one of the run before', async () => {
    await attendOnce(gpu);
    const { created } = gpu.pool.counts();
    for (let i = 1; i < 1000; i++) {
      const arrays = [1, 2, 3].map(() => upload(gpu, numbers(32)));
      const [q, k, v] = arrays;
      const { out, lse } = await run(gpu, (recording) => attend(recording, { ...small, q, k, v }, { parts: 2 }));
      for (const { buffer } of [...arrays, out, lse]) gpu.pool.give(buffer);
    }
    const counts = gpu.pool.counts();
    // Two parts want two scratch arrays more.
    expect(counts.created).toBeLessThanOrEqual(created + 2);
    expect(counts).toMatchObject({ used: 0, destroyed: 0 });
    gpu.pool.trim();
    expect(gpu.pool.counts()).toMatchObject({ used: 0, free: 0, destroyed: counts.created });
  });

  it('keeps free buffers up to a limit, and refuses one that is not its own', () => {
    const { counts, take, give, trim } = gpu.pool;
    trim();
    const before = counts();
    const large = take(300 * 2 ** 20);
    give(large);
    expect(counts().destroyed).toBe(before.destroyed + 1);
    expect(() => give(large)).toThrow('PF706');
  });

  it('says what is wrong with a shape, all at once', async () => {
    const q = upload(gpu, numbers(32));
    const wrong = { ...small, N: 5, D: 300, H: 3, G: 2, q, k: q, v: upload(gpu, [1, 2, 3], 'u32') };
    await expect(run(gpu, (recording) => attend(recording, wrong))).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF706  D must be a whole number from 1 to 256, got 300; H must be a multiple of G, got 3 and 2; q must hold [B,H,N,D] = [1,3,5,300] or [H,N,D] = [3,5,300], has 32 numbers; k must hold [B,G,S,D] = [1,2,4,300] or [G,S,D] = [2,4,300], has 32 numbers; v must be f32, is u32
        at   attend
        mend pass row-major arrays of these shapes, and options within these ranges]
    `);
    const odd = { out: q, lse: upload(gpu, numbers(5)) };
    await expect(run(gpu, (recording) => merge(recording, odd, odd))).rejects.toThrow('PF706');
  });

  it('says which bindings are missing or unknown', async () => {
    const parts = upload(gpu, numbers(8));
    const dispatch = {
      kernel: addPartsKernel,
      parameters: {},
      uniform: { length: 4, parts: 2 },
      groups: 1,
    };
    await expect(
      run(gpu, (recording) => recording.dispatch({ ...dispatch, bindings: { parts, result: parts } })),
    ).rejects.toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF705  add_parts.wgsl: binding out missing; binding result unknown
        at   add_parts.wgsl
        mend pass parts, out]
    `);
  });

  it('refuses limits beyond the device and counts grids within them', async () => {
    await expect(openGpu({ gpu: webgpu, limits: { threads: 1e6 } })).rejects.toThrow('PF706');
    expect(grid(10, 65_535)).toEqual([10, 1]);
    for (const groups of [65_536, 1e6, 4e9]) {
      const [x, y] = grid(groups, 65_535);
      expect(x * y).toBeGreaterThanOrEqual(groups);
      expect(x * y - groups).toBeLessThan(y);
      expect(Math.max(x, y)).toBeLessThanOrEqual(65_535);
    }
    expect(() => grid(65_535 ** 2 + 1, 65_535)).toThrow('PF706');
  });

  it('turns what the device refuses into an error, and works on', async () => {
    const broken = { ...addPartsKernel, text: addPartsKernel.text.replace(/(?<= ?= ?)0\.0/, 'true') };
    expect(broken.text).not.toBe(addPartsKernel.text);
    const parts = upload(gpu, numbers(8));
    const out = upload(gpu, numbers(4));
    const dispatch = {
      parameters: { WG: 32 },
      bindings: { parts, out },
      uniform: { length: 4, parts: 2 },
      groups: 1,
    };
    const before = gpu.pool.counts().used;
    await expect(
      run(gpu, (recording) => {
        recording.result('f32', 7);
        recording.dispatch({ ...dispatch, kernel: broken });
      }),
    ).rejects.toThrow(/PF707 {2}the device refused the work: .*(bool|true)/s);
    expect(gpu.pool.counts().used).toBe(before);
    // The same name and parameters: what failed is not kept.
    await run(gpu, (recording) => recording.dispatch({ ...dispatch, kernel: addPartsKernel }));
    const want = numbers(8);
    expect(await download(gpu, out)).toEqual(want.slice(0, 4).map((x, i) => x + want[i + 4]));
  });

  it('says that one buffer is larger than the device has them', async () => {
    const own = await openGpu({ gpu: webgpu });
    const most = own.device.limits.maxBufferSize;
    await expect(run(own, (recording) => recording.result('f32', 2 ** 40))).rejects.toThrow(
      `PF703  a buffer of ${2 ** 42} bytes is wanted; this device holds ${most} in one`,
    );
    expect(own.pool.counts()).toMatchObject({ used: 0, free: 0 });
    own.destroy();
  });

  // SwiftShader refuses its own largest buffer; a device with memory would have to be filled.
  it.skipIf(!software)('says that the device could not allocate, and works on', async () => {
    const most = gpu.device.limits.maxBufferSize;
    const { created, destroyed, used } = gpu.pool.counts();
    await expect(run(gpu, (recording) => recording.result('f32', most / 4))).rejects.toThrow(
      /PF703 {2}the device could not allocate/,
    );
    expect(gpu.pool.counts()).toMatchObject({ created: created + 1, destroyed: destroyed + 1, used });
    expect((await attendOnce(gpu)).length).toBe(32);
  });

  it('says that the device was lost in the middle of a run, and the next one works', async () => {
    const own = await openGpu({ gpu: webgpu });
    const lost = run(own, (recording) => {
      const [q, k, v] = [1, 2, 3].map(() => upload(own, numbers(32)));
      const result = attend(recording, { ...small, q, k, v });
      own.device.destroy();
      return result;
    });
    await expect(lost).rejects.toThrow(/PF704 {2}the device was lost \(destroyed\)/);
    await expect(attendOnce(own)).rejects.toThrow('PF704');
    const next = await openGpu({ gpu: webgpu });
    expect(await attendOnce(next)).toEqual(await attendOnce(gpu));
    next.destroy();
  });

  it('says that the device was lost before what it computed was read', async () => {
    const own = await openGpu({ gpu: webgpu });
    const array = upload(own, numbers(32));
    const reading = download(own, array);
    own.device.destroy();
    await expect(reading).rejects.toThrow('PF704');
    await expect(openGpu({ gpu: webgpu, device: own.device })).rejects.toThrow('PF704');
  });

  it('shares a device that is given, and leaves it alive', async () => {
    const guest = await openGpu({ gpu: webgpu, device: gpu.device });
    expect(await attendOnce(guest)).toEqual(await attendOnce(gpu));
    guest.destroy();
    expect(gpu.lost()).toBeUndefined();
    expect((await attendOnce(gpu)).length).toBe(32);
  });

  it('has float16 where the adapter has it, and says so where not', async () => {
    if (hasF16) {
      const own = await openGpu({ gpu: webgpu, f16: true });
      expect(own.f16).toBe(true);
      own.destroy();
    } else await expect(openGpu({ gpu: webgpu, f16: true })).rejects.toThrow('PF702');
    await expect(openGpu({ gpu: webgpu, device: gpu.device, f16: true })).rejects.toThrow('PF702');
  });

  it('rounds to float16 as IEEE 754 does, and back', async () => {
    const values = [
      0,
      -0,
      1,
      -2,
      65504,
      65519,
      65520,
      1e9,
      -1e9,
      2 ** -24,
      2 ** -25,
      3 * 2 ** -25,
      6.1e-5,
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      0.1,
      Number.NaN,
    ];
    const want = [
      0,
      -0,
      1,
      -2,
      65504,
      65504,
      Infinity,
      Infinity,
      -Infinity,
      2 ** -24,
      0,
      2 ** -23,
      6.0975551605224609e-5,
      1,
      1 + 2 ** -9,
      0.0999755859375,
      Number.NaN,
    ];
    const array = upload(gpu, values, 'f16');
    expect(Array.from(await download(gpu, array))).toEqual(want);
  });
});

it('poisons buffers in tests, so that what a kernel leaves unwritten shows', async () => {
  if (noDevice) return;
  const gpu = await open();
  const array = await run(gpu, (recording) => recording.result('f32', 5));
  expect(await download(gpu, array)).toEqual(new Float32Array(5).fill(Number.NaN));
  gpu.destroy();
});
