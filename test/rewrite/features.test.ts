/** Every positive map in a model file, run by onnxruntime, against its definition in float64: one operator, constants by map. */

import { describe, expect, it } from 'vitest';
import { featureConstants } from '../../src/calibrate/feature-constants.js';
import { asymmetricMaps, featureMaps } from '../../src/features/registry.js';
import { sderf } from '../../src/features/sderf.js';
import { linearize } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { findAttention } from '../../src/rewrite/find.js';
import { featureShapes } from '../../src/rewrite/lower/features-constants.js';
import { formatPlan, readPlan, type SiteConstants } from '../../src/rewrite/plan.js';
import { mapNames } from '../../src/rewrite/plan-options.js';
import { applySavedPlan, savePlan } from '../../src/rewrite/saved-plan.js';
import { cases, mutants, normalInput } from '../attention/cases.js';
import { arraysOf, attentionModel, run } from '../attention-model.js';
import { close, expectMutantFails, relRMS } from '../close.js';
import { type Attention, softmaxAttention } from '../oracle/attention.js';
import { type PositiveSides, positiveAttention } from '../oracle/positive-attention.js';

const bound = 5e-6;
const m = 32;
const calibrated = mapNames.filter((map) => map !== 'favor+' && map !== 'hyperbolic');

/** Mean and covariance of rows [B,H,N,D] by head, masked keys included: any moments do. */
function momentsOf(rows: Float64Array, { B, H, D }: Attention, factor: number) {
  const N = rows.length / (B * H * D);
  const mean = new Float64Array(H * D);
  const square = new Float64Array(H * D * D);
  const at = (b: number, h: number, n: number, d: number) => factor * rows[((b * H + h) * N + n) * D + d];
  for (let h = 0; h < H; h++) {
    for (let n = 0; n < B * N; n++) {
      for (let i = 0; i < D; i++) {
        mean[h * D + i] += at(Math.floor(n / N), h, n % N, i) / (B * N);
        for (let j = 0; j < D; j++) {
          square[(h * D + i) * D + j] +=
            (at(Math.floor(n / N), h, n % N, i) * at(Math.floor(n / N), h, n % N, j)) / (B * N);
        }
      }
    }
  }
  const covariance = square.map((value, p) => {
    const [h, i, j] = [Math.floor(p / (D * D)), Math.floor((p % (D * D)) / D), p % D];
    // One token has no covariance; a tenth of the identity keeps it definite.
    return value - mean[h * D + i] * mean[h * D + j] + (i === j ? 0.1 * factor * factor : 0);
  });
  return { mean, covariance };
}

/** As calibration would make them from recorded q (which carries the scale) and k. */
function constantsOf(input: Attention, map: string, tau = 0.5): Record<string, Float32Array> {
  const { H: heads, D: headDim, scale } = input;
  const [q, k] = [momentsOf(input.q, input, scale), momentsOf(input.k, input, 1)];
  const moments = { queryMean: q.mean, keyMean: k.mean, query: q.covariance, key: k.covariance };
  return { ...featureConstants({ map, m, seed: 3 }, { site: { heads, headDim, scale }, keyFactor: 1, moments, tau }) };
}

type Form = { readonly scale?: 'query' | 'roots'; readonly times?: number; readonly opset?: number };

async function patched(input: Attention, map: string, constants: SiteConstants, form: Form = {}) {
  const { H: heads, D: headDim, E: valueDim, N, S, keyBias } = input;
  const mask = keyBias ? ({ mask: 'add' } as const) : {};
  const bytes = attentionModel({ heads, headDim, valueDim, self: N === S, ...mask, ...form });
  const model = openModel(decode(bytes));
  const plans = findAttention(model).sites.map((site) => ({
    site,
    groups: [
      { heads: Array.from({ length: heads }, (_, h) => h), plan: readPlan({ name: 'features', map, m, seed: 3 }) },
    ],
    why: 'test',
    constants,
  }));
  return run(concat(encode(applyPlans(model, plans).proto)), arraysOf(input));
}

/** The constants as the oracle takes them. */
function sidesOf({ H: heads, D: headDim }: Attention, map: string, constants: SiteConstants): PositiveSides {
  const own = (name: string) => constants[`${map}${m}.3.${name}`];
  if (map === 'aderf')
    return { queryOmega: own('queryOmega'), keyOmega: own('keyOmega'), keyBasis: own('keyBasis'), bias: own('bias') };
  const drawn = map === 'favor+' || map === 'hyperbolic';
  const { omega, bias } = drawn
    ? featureMaps[map]({ heads, headDim, m, seed: 3 })
    : { omega: own('omega'), bias: own('bias') };
  return { queryOmega: omega, keyOmega: omega, bias };
}

it('offers every positive map of the registry', () => {
  expect([...mapNames].sort()).toEqual([...Object.keys(featureMaps), ...Object.keys(asymmetricMaps)].sort());
});

describe.each(mapNames)('features:map=%s', (map) => {
  const made = (input: Attention) => (calibrated.includes(map) ? constantsOf(input, map) : {});

  it.each(Object.entries(cases))('equals the oracle, and refuses mutants: %s', async (_, input) => {
    const constants = made(input);
    const sides = sidesOf(input, map, constants);
    const got = await patched(input, map, constants);
    close(got, positiveAttention(input, sides), bound);
    for (const mutant of Object.values(mutants(input)))
      expectMutantFails(() => close(got, positiveAttention(mutant, sides), bound));
  });

  const input = normalInput({ B: 2, H: 2, N: 45, S: 45, D: 8, E: 5 }, 61, { masked: [0, 9] });
  it.each([
    { opset: 11 },
    { opset: 12 },
    { opset: 13 },
    { opset: 18 },
    { opset: 20 },
    { scale: 'query' },
    { scale: 'roots' },
  ] as const)('holds for %o', async (form) => {
    const constants = made(input);
    close(await patched(input, map, constants, form), positiveAttention(input, sidesOf(input, map, constants)), bound);
  });

  it.each(['after', 'query', 'roots'] as const)('holds for a negative scale, %s: it is the queries’', async (scale) => {
    const turned = { ...input, q: input.q.map((value) => -value) };
    const constants = made({ ...input, scale: -input.scale });
    const form = scale === 'after' ? { times: -1 } : { times: -1, scale };
    const got = await patched(input, map, constants, form);
    const check = (from: Attention) => close(got, positiveAttention(from, sidesOf(input, map, constants)), bound);
    check(turned);
    expectMutantFails(() => check(input));
    for (const [name, values] of Object.entries(made(turned))) close(constants[name], values, 1e-6);
  });

  it('refuses constants off by 1 %, swapped sides and another head’s', async () => {
    const constants = made(input);
    const sides = sidesOf(input, map, constants);
    const got = await patched(input, map, constants);
    const check = (change: Partial<PositiveSides>) =>
      close(got, positiveAttention(input, { ...sides, ...change }), bound);
    const by = (values: ArrayLike<number>, factor: number) => Float64Array.from(values, (value) => factor * value);
    const swapped = (values: ArrayLike<number>) =>
      Float64Array.from(values, (_, i) => values[(i + values.length / 2) % values.length]);
    expectMutantFails(() => check({ queryOmega: by(sides.queryOmega, 1.01) }));
    expectMutantFails(() => check({ keyOmega: by(sides.keyOmega, 1.01) }));
    expectMutantFails(() => check({ queryOmega: swapped(sides.queryOmega), keyOmega: swapped(sides.keyOmega) }));
    if (!calibrated.includes(map)) return;
    expectMutantFails(() => check({ bias: by(sides.bias, 1.01) }));
    expectMutantFails(() => check({ bias: swapped(sides.bias) }));
    if (map !== 'aderf') return;
    expectMutantFails(() => check({ keyBasis: undefined }));
    expectMutantFails(() => check({ queryOmega: sides.keyOmega, keyOmega: sides.queryOmega }));
  });

  it('reads back the plan it writes', () => {
    const plan = `features:map=${map},m=32,seed=3`;
    expect(formatPlan(readPlan(plan))).toBe(plan);
  });
});

it('features are declined where scores are multiplied by 0', async () => {
  const bytes = attentionModel({ heads: 2, headDim: 8, self: true, scale: 'query', times: 0 });
  for (const plan of ['features', 'signed']) {
    const { report } = await linearize(bytes, { plan });
    expect(report.sites.map(({ why }) => why)).toEqual([
      `exact in linear memory: ${plan} is not possible (its scores are multiplied by 0)`,
    ]);
  }
});

describe('calibrated maps', () => {
  const input = normalInput({ B: 1, H: 2, N: 45, S: 45, D: 8, E: 5 }, 62);
  const model = openModel(decode(attentionModel({ heads: 2, headDim: 8, valueDim: 5, self: true })));
  const [site] = findAttention(model).sites;

  it.each(calibrated)('%s declares its constants, and is declined without them', async (map) => {
    const shapes = featureShapes(site, { map, m, seed: 3 });
    const made = constantsOf(input, map);
    expect(Object.keys(shapes).sort()).toEqual(Object.keys(made).sort());
    for (const [name, shape] of Object.entries(shapes))
      expect(made[name]).toHaveLength(shape.reduce((a, b) => a * b, 2));
    const { report } = await linearize(attentionModel({ heads: 2, headDim: 8, self: true }), {
      plan: `features:map=${map}`,
    });
    expect(report.sites[0]?.plans[0]?.plan).toBe('exact-blocked:block=256');
    expect(report.sites[0]?.why).toContain(
      `features is not possible (it needs calibration, and there is no ${map}128.0.`,
    );
  });

  it('come back from a plan file', () => {
    const plan = readPlan(`features:map=aderf,m=${m},seed=3`);
    const constants = constantsOf(input, 'aderf');
    const saved = savePlan([{ site, groups: [{ heads: [0, 1], plan }], why: 'test', constants }]);
    const [back] = applySavedPlan(JSON.parse(JSON.stringify(saved)), [site]);
    expect(back.groups).toEqual([{ heads: [0, 1], plan }]);
    expect(back.constants).toEqual(constants);
  });

  it('know the scale by the side of the graph it is on: recorded q and k of any share of it give the same', () => {
    const { H: heads, D: headDim, scale } = input;
    const key = 0.3;
    const [q, k] = [momentsOf(input.q, input, scale / key), momentsOf(input.k, input, key)];
    const moments = { queryMean: q.mean, keyMean: k.mean, query: q.covariance, key: k.covariance };
    const given = { site: { heads, headDim, scale }, keyFactor: key, moments };
    const split = featureConstants({ map: 'aderf', m, seed: 3 }, { ...given, tau: 0.5 });
    for (const [name, values] of Object.entries(constantsOf(input, 'aderf'))) close(split[name], values, 1e-6);
  });

  it('take in what goes together of queries and keys: the moments are those of z = x + y', () => {
    const { H: heads, D: headDim, scale, q, k } = input;
    // A key that follows its query along half of the axes: pairs (q_i, k_i) are far from independent.
    const follow = k.map((value, i) => 0.5 * value + (i % headDim < headDim / 2 ? q[i] : -0.3 * q[i]));
    const root = Math.sqrt(scale);
    const z = momentsOf(
      q.map((value, i) => value + follow[i]),
      input,
      root,
    );
    const [x, y] = [momentsOf(q, input, root), momentsOf(follow, input, root)];
    const N = q.length / (heads * headDim);
    const cross = Float64Array.from({ length: heads * headDim ** 2 }, (_, p) => {
      const [h, i, j] = [Math.floor(p / headDim ** 2), Math.floor(p / headDim) % headDim, p % headDim];
      let sum = 0;
      for (let n = 0; n < N; n++) sum += q[(h * N + n) * headDim + i] * follow[(h * N + n) * headDim + j];
      return (scale * sum) / N - x.mean[h * headDim + i] * y.mean[h * headDim + j];
    });
    const by = (values: Float64Array, factor: number) => values.map((value) => factor * value);
    const moments = {
      queryMean: by(x.mean, root),
      keyMean: by(y.mean, 1 / root),
      query: by(x.covariance, scale),
      key: by(y.covariance, 1 / scale),
    };
    const data = { site: { heads, headDim, scale }, keyFactor: 1 };
    // momentsOf adds a tenth of the identity to each side, once to z.
    const second = z.covariance.map((value, p) =>
      Math.floor(p / headDim) % headDim === p % headDim ? value + 0.1 * scale : value,
    );
    const want = sderf({ heads, headDim, m, seed: 3, moments: { mean: z.mean, second } });
    const check = (own: Float64Array) => {
      const got = featureConstants({ map: 'sderf', m, seed: 3 }, { ...data, moments: { ...moments, cross: own } });
      close(got[`sderf${m}.3.omega`], want.omega, 1e-6);
      close(got[`sderf${m}.3.bias`], want.bias, 1e-6);
    };
    check(cross);
    expectMutantFails(() => check(by(cross, 1.01)));
    expectMutantFails(() => check(by(cross, 0)));
  });

  it('err less than FAVOR+ on heads with means and unequal axes, the more they look at', async () => {
    // Queries vary along axes that keys do not, and both have means.
    const plain = normalInput({ B: 1, H: 16, N: 64, S: 64, D: 8, E: 8 }, 63);
    const stretch = (x: Float64Array, own: (d: number) => number, mean: number) =>
      x.map((value, i) => own(i % 8) * value + (i % 8 < 4 ? mean : 0));
    const head = {
      ...plain,
      q: stretch(plain.q, (d) => (d % 2 === 0 ? 0.8 : 0.1), 0.5),
      k: stretch(plain.k, (d) => (d % 2 === 0 ? 0.1 : 0.8), 0.5),
    };
    const want = softmaxAttention(head);
    const errors = Object.fromEntries(
      ['favor+', 'shift', 'oprf', 'sderf', 'aderf'].map((map) => {
        const constants = map === 'favor+' ? {} : constantsOf(head, map, 1);
        return [map, relRMS(positiveAttention(head, sidesOf(head, map, constants)), want)];
      }),
    );
    // Measured: favor+ .372, shift .279, oprf .215, sderf .211, aderf .106.
    expect(errors.shift).toBeLessThan(0.85 * errors['favor+']);
    expect(errors.sderf).toBeLessThan(0.85 * errors.shift);
    expect(errors.aderf).toBeLessThan(0.6 * errors.sderf);
  });

  it('refuse moments of a wrong shape, and NaN', () => {
    const { H: heads, D: headDim, scale } = input;
    const zeros = new Float64Array(heads * headDim * headDim);
    const given = { site: { heads, headDim, scale }, keyFactor: 1, moments: { query: zeros.subarray(1), key: zeros } };
    expect(() => featureConstants({ map: 'aderf', m, seed: 0 }, given)).toThrow(
      'PF202  moments.query must have 2 x 64 numbers, got 127',
    );
    const nan = { ...given, moments: { query: zeros.fill(Number.NaN), key: zeros } };
    expect(() => featureConstants({ map: 'sderf', m, seed: 0 }, nan)).toThrow(
      'PF202  moments.second[0] must be finite, got NaN',
    );
  });
});
