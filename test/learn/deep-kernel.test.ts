import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { trainDeepKernel } from '../../src/learn/deep-kernel.js';
import { type Jax, loadJax } from '../../src/learn/peer.js';
import { accuracy } from '../../src/machines/svc.js';
import { encodeQuantized } from '../../src/quant/file.js';
import { deepKernelBytes } from '../../src/quant/memory.js';
import { close, expectMutantFails } from '../close.js';

/** Two classes that no line separates: the sign of sin(3a)·b. */
const normal = gaussians(1);
const [n, d] = [600, 2];
const x = Float64Array.from({ length: n * d }, normal);
const labels = Int32Array.from({ length: n }, (_, i) => (Math.sin(3 * x[2 * i]) * x[2 * i + 1] > 0 ? 1 : 0));
const options = { x, d, labels, width: 24, bandwidth: 1, steps: 150, batch: 128 };

describe.each([[[32, 32]], [[8, 8]], [[4, 4]], [[1, 1]], [[8, 4, 1]]])('a deep kernel network of %j bits', (bits) => {
  it('learns what is not linear, and takes the bytes of the law', async () => {
    const losses: number[] = [];
    const model = await trainDeepKernel({ ...options, bits, onStep: (_, loss) => losses.push(loss) });
    expect(losses).toHaveLength(options.steps);
    const check = (predicted: Int32Array) => expect(accuracy(predicted, labels)).toBeGreaterThan(0.78);
    check(model.predict(x));
    expectMutantFails(() => check(model.predict(x).map((label) => 1 - label)));
    const shape = { inputs: 2, width: 24, depth: bits.length, outputs: 2 };
    expect(model.bytes).toBe(deepKernelBytes(shape, bits));
    // Packed codes and no float32 copy of them: 20 bytes of header a file, 4 of which are the scale that the law counts.
    for (const [l, layer] of model.layers.entries()) {
      if ('scheme' in layer)
        expect(encodeQuantized(layer).length).toBe(20 + Math.ceil(((l === 0 ? 2 : 48) * 24 * bits[l]) / 8));
    }
  });
});

describe('a deep kernel network', () => {
  it('repeats with the seed, bit for bit, and changes with it', async () => {
    const train = async (seed: number) =>
      (await trainDeepKernel({ ...options, bits: [8, 1], steps: 20, seed })).scores(x.subarray(0, 40));
    const first = await train(3);
    expect(await train(3)).toEqual(first);
    expect(await train(4)).not.toEqual(first);
  });

  it('starts as random features of a Gaussian kernel', async () => {
    const model = await trainDeepKernel({ ...options, width: 4096, bits: [32], steps: 1, rate: 1e-9 });
    const rows = Float64Array.of(0.3, 0.1, -0.2, 0.5);
    const features = model.features(rows);
    const got = features.subarray(0, 8192).reduce((sum, value, r) => sum + value * features[8192 + r], 0);
    const k = Math.exp(-(0.5 ** 2 + 0.4 ** 2) / 2);
    // Var of the mean of 4,096 cosines: (1 + k(2δ)) / 2 − k².
    const deviation = Math.sqrt(((1 + k ** 4) / 2 - k ** 2) / 4096);
    const check = (want: number) => expect(Math.abs(got - want) / deviation).toBeLessThan(4);
    check(k);
    expectMutantFails(() => check(1.05 * k));
  });

  it('predicts from float32 layers and a float32 head as their definition says', async () => {
    const model = await trainDeepKernel({ ...options, width: 3, bits: [32], steps: 5 });
    const [layer] = model.layers;
    if ('scheme' in layer || 'scheme' in model.head) throw new Error('float32 expected');
    const [w, head] = [layer.data, model.head.data];
    const angles = [0, 1, 2].map((r) => model.gains[0] * (0.5 * w[2 * r] - w[2 * r + 1]));
    const h = [...angles.map(Math.cos), ...angles.map(Math.sin)].map((value) => value / Math.sqrt(3));
    const want = [0, 1].map((c) => h.reduce((sum, value, r) => sum + value * head[6 * c + r], model.bias[c]));
    const check = (scores: Float64Array) => close(scores, want, 1e-12);
    check(model.scores([0.5, -1]));
    expectMutantFails(() => check(model.scores([0.5, -1.01])));
  });

  it.each([
    [{ bits: [3] }, 'PF420  bits must be one of 1, 2, 4, 8, 32, got 3'],
    [{ bits: [] }, 'PF425  depth must be an integer >= 1, got 0'],
    [{ width: 0 }, 'PF425  width must be an integer >= 1, got 0'],
    [{ steps: 0 }, 'PF425  steps must be an integer >= 1, got 0'],
    [{ batch: 1.5 }, 'PF425  batch must be an integer >= 1, got 1.5'],
    [{ rate: -1 }, 'PF425  rate must be a positive number, got -1'],
    [{ bandwidth: 0 }, 'PF425  bandwidth must be a positive number, got 0'],
    [{ labels: labels.subarray(1) }, 'PF425  x must be n x d = 599 x 2 numbers, got 1200'],
    [{ labels: labels.map(() => 0) }, 'PF425  labels must hold two classes, got 1'],
    [{ labels: labels.map((label) => label - 1) }, 'PF425  labels['],
    [{ x: x.map((value, i) => (i === 7 ? Number.NaN : value)) }, 'PF425  x[7] must be finite, got NaN'],
  ])('refuses %j', async (wrong, message) => {
    await expect(trainDeepKernel({ ...options, bits: [8], ...wrong })).rejects.toThrow(message);
  });

  it('says when training diverges', async () => {
    const huge = x.map((value) => 1e30 * value);
    await expect(trainDeepKernel({ ...options, x: huge, bits: [32, 32], rate: 1e30, steps: 20 })).rejects.toThrow(
      'PF427  the loss is NaN at step',
    );
  });

  it('refuses rows that do not fit', async () => {
    const model = await trainDeepKernel({ ...options, bits: [8], steps: 1 });
    expect(() => model.predict([1, 2, 3])).toThrow('PF425  x must be rows of d = 2 numbers, got 3');
    expect(() => model.predict([1, Infinity])).toThrow('PF425  x[1] must be finite, got Infinity');
  });
});

it('names the package to install when it is not there', async () => {
  const missing = (): Promise<Jax> => Promise.reject(new Error("Cannot find package '@jax-js/jax'"));
  await expect(loadJax(missing)).rejects.toThrowErrorMatchingInlineSnapshot(`
    [PerformersError: PF426  @jax-js/jax could not be loaded
      at   learn
      mend npm install @jax-js/jax; features that are not trained do without it]
  `);
});
