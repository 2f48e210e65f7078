/** The signed lowering, run by onnxruntime, against its definition in float64: weights written out pair by pair, rejection included. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { liftOf, type signedNormalisers } from '../../src/attention/signed.js';
import { type KernelFactory, kernels } from '../../src/features/kernels/registry.js';
import { streamSeed } from '../../src/features/rng.js';
import { gorf, grff } from '../../src/features/signed/methods.js';
import { linearize } from '../../src/linearize.js';
import { formatPlan, readPlan } from '../../src/rewrite/plan.js';
import { cases, mutants, normalInput } from '../attention/cases.js';
import { arraysOf, attentionModel, run } from '../attention-model.js';
import { close, expectMutantFails } from '../close.js';
import { type Attention, softmaxAttention } from '../oracle/attention.js';
import { signedAttention as oracle, type SignedForm, type SignedFrequencies } from '../oracle/signed-attention.js';

/** As for every float32 path; the mass of these measures is a few times k, and angles are some units. */
const bound = 5e-6;

interface Setting {
  readonly kernel: keyof typeof kernels;
  readonly method?: 'gorf' | 'grff';
  readonly normaliser?: keyof typeof signedNormalisers;
  readonly m?: number;
  readonly bandwidth?: number;
  readonly kappa?: number;
}
const settings: Readonly<Record<string, Setting>> = {
  'difference of Gaussians, lifted': { kernel: 'delta-gaussian', m: 64 },
  'total variation': { kernel: 'delta-gaussian', m: 64, normaliser: 'total-variation', bandwidth: 0.5 },
  'Gaussian kernel, guarded': { kernel: 'rbf', m: 64, normaliser: 'guard', method: 'grff' },
  'log kernel over the number of keys': { kernel: 'log', m: 64, normaliser: 'count' },
  'truncated distance, a fitted measure': { kernel: 'tl1', m: 64, kappa: 0.5 },
  'arc-cosine kernel on the sphere': { kernel: 'arc-cosine-1', m: 128 },
};

const planOf = ({ kernel, ...rest }: Setting) =>
  `signed:${Object.entries({ kernel, seed: 3, ...rest })
    .map(([key, value]) => `${key}=${value}`)
    .join(',')}`;

async function patched(
  input: Attention,
  setting: Setting,
  form: { scale?: 'query' | 'roots'; times?: number; opset?: number } = {},
) {
  const model = attentionModel({
    heads: input.H,
    headDim: input.D,
    valueDim: input.E,
    self: input.N === input.S,
    ...(input.keyBias && { mask: 'add' }),
    ...form,
  });
  const { bytes, report } = await linearize(model, { plan: planOf(setting) });
  expect(report.sites[0]?.plans[0]?.plan).toMatch(/^signed:/);
  return run(bytes, arraysOf(input));
}

/** What the file holds: each head's draw, the bandwidth in its frequencies, and the lift of the group. */
function definition({ H, D }: Attention, setting: Setting) {
  const { kernel: name, method = 'gorf', m = 256, normaliser = 'lift', bandwidth = 1, kappa = 1 } = setting;
  const factory: KernelFactory = kernels[name];
  const kernel = factory({ d: D });
  const maps = Array.from({ length: H }, (_, h) => ({ gorf, grff })[method](kernel, { m, seed: streamSeed(3, h) }));
  const unit = kernel.domain === 'sphere';
  const laws = maps.map(({ fourier }): SignedFrequencies => {
    if (!fourier) throw new Error('not a Fourier map');
    const { positive, negative } = fourier;
    return {
      constant: positive.constant - negative.constant,
      omega: Float64Array.of(...positive.omega, ...negative.omega).map((w) => (unit ? w : w / bandwidth)),
      weight: Float64Array.of(...positive.amplitude.map((a) => a * a), ...negative.amplitude.map((a) => -a * a)),
    };
  });
  const form: Record<keyof typeof signedNormalisers, SignedForm> = {
    lift: { lift: liftOf(kernel, maps[0]), kappa },
    'total-variation': { by: 'sizes', kappa },
    guard: { kappa },
    count: { by: 'count' },
  };
  return { laws, form: { ...form[normaliser], unit } };
}

function want(input: Attention, setting: Setting, change: Partial<SignedForm> = {}): Float64Array {
  const { laws, form } = definition(input, setting);
  return oracle(input, (head) => laws[head], { ...form, ...change });
}

describe.each(Object.entries(settings))('signed, %s', (_, setting) => {
  it.each(Object.entries(cases))('equals the oracle: %s', async (_, input) => {
    close(await patched(input, setting), want(input, setting), bound);
  });

  it.each(Object.entries(cases))('refuses mutants: %s', async (_, input) => {
    const got = await patched(input, setting);
    for (const mutant of Object.values(mutants(input))) {
      // Lengths do not count on the sphere.
      if (kernels[setting.kernel]({ d: 2 }).domain === 'sphere' && mutant.scale !== input.scale) continue;
      expectMutantFails(() => close(got, want(mutant, setting), bound));
    }
  });
});

describe('signed', () => {
  const input = normalInput({ B: 2, H: 2, N: 45, S: 45, D: 8, E: 5 }, 51, { masked: [0, 9] });
  const lifted = settings['difference of Gaussians, lifted'];

  it.each([11, 12, 13, 18, 20])('holds at opset %i, with and without a mask', async (opset) => {
    const { keyBias: _, ...unmasked } = input;
    for (const setting of [lifted, settings['arc-cosine kernel on the sphere']]) {
      close(await patched(input, setting, { opset }), want(input, setting), bound);
      close(await patched(unmasked, setting, { opset }), want(unmasked, setting), bound);
    }
  });

  it.each(['query', 'roots'] as const)('holds for a negative scale on %s: it is the queries’', async (scale) => {
    const turned = { ...input, q: input.q.map((value) => -value) };
    const got = await patched(input, lifted, { scale, times: -1 });
    close(got, want(turned, lifted), bound);
    expectMutantFails(() => close(got, want(input, lifted), bound));
  });

  it.each(['query', 'roots'] as const)('holds where the scale is on %s', async (scale) => {
    close(await patched(input, lifted, { scale }), want(input, lifted), bound);
  });

  it('refuses a lost sign, a lost constant, a lift and a bandwidth off by 1 %, and another head’s draw', async () => {
    const setting = settings['log kernel over the number of keys'];
    const got = await patched(input, setting);
    const { laws, form } = definition(input, setting);
    const check = (law: (head: number) => SignedFrequencies) => close(got, oracle(input, law, form), bound);
    check((head) => laws[head]);
    expectMutantFails(() => check((head) => ({ ...laws[head], weight: laws[head].weight.map((w) => -w) })));
    expectMutantFails(() => check((head) => ({ ...laws[head], constant: 0 })));
    expectMutantFails(() => check((head) => ({ ...laws[head], omega: laws[head].omega.map((w) => 1.01 * w) })));
    expectMutantFails(() => check((head) => laws[1 - head]));
    const { lift = 0 } = definition(input, lifted).form;
    const raised = await patched(input, lifted);
    expectMutantFails(() => close(raised, want(input, lifted, { lift: 1.01 * lift }), bound));
  });

  it('gives rows whose denominator is noise the mean of the values, and only those', async () => {
    // Half of the queries lie 12 away from every key, where k is 0; the others among them.
    const away = { ...input, q: input.q.map((value, at) => value + (at % 16 === 0 ? 34 : 0)) };
    const setting: Setting = { kernel: 'rbf', normaliser: 'guard', m: 128, bandwidth: 0.35 };
    const got = await patched(away, setting);
    close(got, want(away, setting), bound);
    const { laws, form } = definition(away, setting);
    const differ = (kappa: number) => {
      const other = oracle(away, (head) => laws[head], { ...form, kappa });
      const all = want(away, setting);
      return Array.from({ length: 180 }, (_, i) => i).filter((i) => Math.abs(other[5 * i] - all[5 * i]) > 1e-9).length;
    };
    // What κ = 1 rejects, κ = 0 divides by or has below 0; what it keeps, κ = ∞ rejects.
    expect(differ(0)).toBeGreaterThan(10);
    expect(differ(1e9)).toBeGreaterThan(60);
    expectMutantFails(() =>
      close(
        got,
        oracle(away, (head) => laws[head], { ...form, kappa: 0 }),
        bound,
      ),
    );
    expectMutantFails(() =>
      close(
        got,
        oracle(away, (head) => laws[head], { ...form, kappa: 1.5 }),
        bound,
      ),
    );
  });

  it('takes some heads and leaves the others to another plan', async () => {
    const model = attentionModel({ heads: 2, headDim: 8, valueDim: 5, mask: 'add', self: true });
    const rules = [{ layers: 0, heads: [1], plan: planOf(lifted) }];
    const { bytes } = await linearize(model, { plan: 'exact', rules });
    const got = await run(bytes, arraysOf(input));
    const [all, own] = [softmaxAttention(input), want(input, lifted)];
    const size = 45 * 5;
    const joined = (head: number) => all.map((value, i) => (Math.floor(i / size) % 2 === head ? own[i] : value));
    close(got, joined(1), bound);
    expectMutantFails(() => close(got, joined(0), bound));
  });

  it('declines what depends on more than the key, and says so', async () => {
    const bytes = readFileSync(new URL('../graphs/gpt2.optimum-sdpa-past.onnx', import.meta.url));
    const { report } = await linearize(bytes, { plan: 'signed' });
    expect(report.sites.length).toBeGreaterThan(0);
    for (const { plans, why } of report.sites) {
      expect(plans.map(({ plan }) => plan)).toEqual(['exact-blocked:block=256']);
      expect(why).toMatch(
        /signed is not possible \(it lets every query attend to all keys alike, and the mask here is/,
      );
    }
  });

  it.each([
    ['kernel=gaussian', /kernel must be one of rbf, .*got "gaussian"/],
    ['method=maclaurin', /method must be one of gorf, grff, got "maclaurin"/],
    ['normaliser=softmax', /normaliser must be one of lift, total-variation, guard, count, got "softmax"/],
    ['bandwidth=0', /bandwidth must be a positive number, got 0/],
    ['bandwidth=-1', /bandwidth must be a positive number, got -1/],
    ['kappa=-1', /kappa must be a number of at least 0, got -1/],
    ['m=0', /m must be an integer from 2 to 8192, got 0/],
    ['kernel=log,m=10', /PF412 {2}m must be at least 17 for the log kernel's signed measure, got 10/],
  ])('refuses %s', async (options, message) => {
    const model = attentionModel({ heads: 2, headDim: 8 });
    await expect(linearize(model, { plan: `signed:${options}` })).rejects.toThrow(message);
  });

  it('reads back the plan it writes', async () => {
    const { report } = await linearize(attentionModel({ heads: 2, headDim: 8 }), {
      plan: 'signed:kernel=tl1,bandwidth=0.25',
    });
    const [{ plan } = { plan: '' }] = report.sites[0]?.plans ?? [];
    expect(plan).toBe('signed:kernel=tl1,method=gorf,m=256,seed=0,bandwidth=0.25,normaliser=lift,kappa=1');
    expect(formatPlan(readPlan(plan))).toBe(plan);
  });
});
