/** Attention through a codebook that is trained: what it computes, and the gradient it is trained by, against float64. */
import { describe, expect, it } from 'vitest';
import { gaussians } from '../../src/features/rng.js';
import { codebookAttention } from '../../src/learn/codebook-attention.js';
import { type JaxArray, loadJax } from '../../src/learn/peer.js';
import { close, expectMutantFails } from '../close.js';
import { codebookContext, hardShares, scoresOf, softShares, type View } from '../oracle/codebook-attention.js';

const jax = await loadJax();
const { numpy: np } = jax;
const [H, S, F, D, E, n, b, C] = [2, 23, 5, 3, 4, 2, 6, 7];
const normal = gaussians(3);
const draw = (length: number) => Float64Array.from(Float32Array.from({ length }, () => normal()));

/** Every third key is near to some block, and counts for nothing there. */
function draws(): View {
  const count = Float64Array.from({ length: H * n * S }, (_, at) => Number((at + Math.floor(at / S)) % 3 > 0));
  const far = (data: Float64Array, width: number) =>
    data.map((x, at) => x * count[Math.floor(at / S / width) * S + (at % S)]);
  return {
    ...{ H, S, F, D, E, n, b, count },
    features: draw(H * S * F),
    keys: far(draw(H * n * D * S), D),
    values: far(draw(H * n * E * S), E),
    queries: draw(H * n * b * D),
    nearMass: draw(H * n * b),
    nearValues: draw(H * n * b * E),
  };
}

const view = draws();
const [weights, offsets, direction] = [draw(H * C * F), draw(H * C), draw(H * n * b * E)];
// A code so low that no key has it.
offsets[C - 1] = -100;

const array = (data: Float64Array, ...shape: number[]) => np.array(Float32Array.from(data), { shape });
const context = (w: JaxArray, o: JaxArray) =>
  codebookAttention(jax, [w, o], {
    features: array(view.features, H, S, F),
    count: array(view.count, H, n, S),
    keys: array(view.keys, H, n * D, S),
    values: array(view.values, H, n * E, S),
    queries: array(view.queries, H, n, b, D),
    nearMass: array(view.nearMass, H, n, b, 1),
    nearValues: array(view.nearValues, H, n, b, E),
  });

describe('attention through a codebook', () => {
  it('is what the keys make of it that have each code as their best', async () => {
    const got = await context(array(weights, H, C, F), array(offsets, H, C, 1)).data();
    const scores = scoresOf(view, weights, offsets);
    close(got, codebookContext(view, hardShares(scores)), 5e-6);
    for (const mutant of [
      softShares(scores),
      hardShares(
        scoresOf(
          view,
          weights.map((w) => -w),
          offsets,
        ),
      ),
    ])
      expectMutantFails(() => close(got, codebookContext(view, mutant), 5e-6));
  });

  it('has the gradient of soft shares around the hard ones', async () => {
    const loss = (w: JaxArray, o: JaxArray) => np.sum(context(w, o).mul(array(direction, H, n, b, E)));
    const gradient = jax.grad(([w, o]: JaxArray[]) => loss(w, o))([array(weights, H, C, F), array(offsets, H, C, 1)]);
    const got = [...(await gradient[0].data()), ...(await gradient[1].data())];
    // Straight through: shares are the hard ones plus what the soft ones change by.
    const start = scoresOf(view, weights, offsets);
    const [hard, soft] = [hardShares(start), softShares(start)];
    const lossAt = (w: Float64Array, o: Float64Array) => {
      const now = softShares(scoresOf(view, w, o));
      const shares = hard.map((head, h) => head.map((row, j) => row.map((x, c) => x + now[h][j][c] - soft[h][j][c])));
      return codebookContext(view, shares).reduce((sum, x, i) => sum + x * direction[i], 0);
    };
    const moved = (data: Float64Array, at: number, by: number) => data.map((x, i) => (i === at ? x + by : x));
    const step = 1e-5;
    const slope = (at: (by: number) => number) => (at(step) - at(-step)) / (2 * step);
    const want = [
      ...Array.from(weights, (_, i) => slope((by) => lossAt(moved(weights, i, by), offsets))),
      ...Array.from(offsets, (_, i) => slope((by) => lossAt(weights, moved(offsets, i, by)))),
    ];
    close(got, want, 1e-4);
    expect(want.some((x) => Math.abs(x) > 0.1)).toBe(true);
    const mutant = want.map((x) => 1.01 * x);
    expectMutantFails(() => close(got, mutant, 1e-4));
  });
});
