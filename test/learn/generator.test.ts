import { describe, expect, it } from 'vitest';
import { iidGaussian } from '../../src/features/gaussian.js';
import { gaussians } from '../../src/features/rng.js';
import { trainGenerator } from '../../src/learn/generator.js';
import { featureForm } from '../../src/machines/quadratic.js';
import { accuracy, classify, trainClassifier } from '../../src/machines/svc.js';
import { phasedCosines } from '../../src/quant/phased-cosines.js';
import { expectMutantFails } from '../close.js';

/** Only the first of four coordinates matters, at a high frequency: the Gaussian law of equal widths is a bad one. */
const normal = gaussians(2);
const [n, d] = [500, 4];
const x = Float64Array.from({ length: 2 * n * d }, normal);
const labels = Int32Array.from({ length: 2 * n }, (_, i) => (Math.sin(4 * x[d * i]) > 0 ? 1 : 0));
const train = {
  x: x.subarray(0, n * d),
  d,
  labels: labels.subarray(0, n),
  bandwidth: 1,
  hidden: 16,
  m: 64,
  steps: 200,
};

describe('a frequency generator', () => {
  it('learns the law: fresh frequencies of it classify better than Gaussian ones, at equal m', async () => {
    const losses: number[] = [];
    const generator = await trainGenerator({ ...train, onStep: (_, loss) => losses.push(loss) });
    expect(losses.at(-1)).toBeLessThan(losses[0] - 0.1);
    const share = (sampler: typeof iidGaussian) => {
      const { map } = phasedCosines({ d, m: 64, seed: 77, sampler });
      const machine = trainClassifier(featureForm(map(train.x), 64), train.labels, { c: 10, tolerance: 0.1 });
      return accuracy(classify(machine, map(x.subarray(n * d)), 'features'), labels.subarray(n));
    };
    const check = (sampler: typeof iidGaussian) => expect(share(sampler)).toBeGreaterThan(share(iidGaussian) + 0.05);
    check(generator.sampler);
    expectMutantFails(() => check(iidGaussian));
  });

  it('draws any number of rows, the head of a longer draw first, by seed', async () => {
    const { sampler } = await trainGenerator({ ...train, steps: 2 });
    expect(sampler({ m: 3, d, seed: 5 })).toEqual(sampler({ m: 9, d, seed: 5 }).subarray(0, 12));
    expect(sampler({ m: 3, d, seed: 6 })).not.toEqual(sampler({ m: 3, d, seed: 5 }));
    expect(() => sampler({ m: 0, d, seed: 5 })).toThrow('PF202  m must be an integer >= 1, got 0');
    expect(() => sampler({ m: 1, d: 3, seed: 5 })).toThrow(
      'PF202  d must be 4, what the generator was trained for, got 3',
    );
  });

  it('repeats with the seed', async () => {
    const weights = async (seed: number) => (await trainGenerator({ ...train, steps: 5, seed })).weights;
    const first = await weights(1);
    expect(await weights(1)).toEqual(first);
    expect(await weights(2)).not.toEqual(first);
  });

  it.each([
    [{ m: 0 }, 'PF425  m must be an integer >= 1, got 0'],
    [{ hidden: Number.NaN }, 'PF425  hidden must be an integer >= 1, got NaN'],
    [{ bandwidth: -1 }, 'PF425  bandwidth must be a positive number, got -1'],
    [{ d: 3 }, 'PF425  x must be n x d = 500 x 3 numbers, got 2000'],
  ])('refuses %j', async (wrong, message) => {
    await expect(trainGenerator({ ...train, ...wrong })).rejects.toThrow(message);
  });
});
