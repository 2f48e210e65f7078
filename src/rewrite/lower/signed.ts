/**
 * Linear attention whose weights are a signed kernel of queries and keys (attention/signed.ts, which says where it fails):
 *   w_ij = k̂(x_i, y_j) e_j,   k̂(x, y) = c₀ + Σᵣ ±aᵣ² cos ωᵣ·(x − y),   e_j = exp(keyBias_j − max keyBias), 0 where masked
 *   O_i = (Σ_j w_ij v_j + lift Σ_j e_j v_j) / D_i,   x = √s q / bandwidth, y = √s k / bandwidth; over their lengths on the sphere
 * Emitted with the sums over keys first, as cosines and sines of angles Ω y [B,H,n,S] and x Ωᵀ [B,H,N,n]; the weights ±a² are folded
 * into the sums, [B,H,2n,E] and [B,H,2n,1], and constants need no channel:
 *   Z = Σ_j φ(y_j) e_j,   KV = Σ_j φ(y_j) e_j v_jᵀ,   D_i = φ(x_i)·(±a² Z) + c₀ Σ e (+ lift Σ e),   noise = |φ(x_i) ⊙ a² Z, c₀ Σ e|
 * A row whose D_i is not above κ · noise gets the mean of the values. The graph cannot report such rows: signedAttention, on
 * arrays, does. No causal form: Z and KV are sums over all keys.
 *
 * Ω, a² and c₀ are constants of the file, one draw a head. Where k is fitted the fit holds on the kernel's default range. Cost: 1.5 m key
 * equivalents for D = E. For models trained with such a kernel: in place of softmax it is another model.
 *
 * Numerics: float32. k̂ is a difference of sums, so that rounding is that of the total mass; angles lose |ω·x| · 6e-8.
 */

import { liftOf } from '../../attention/signed.js';
import type { Kernel } from '../../features/kernels/kernel.js';
import { type KernelFactory, kernels } from '../../features/kernels/registry.js';
import { streamSeed } from '../../features/rng.js';
import { gorf, grff } from '../../features/signed/methods.js';
import type { KernelFeatures } from '../../features/signed/signed-map.js';
import type { Builder } from '../../onnx/build.js';
import { type Options, optionsOf, type signedKernelNames, type signedMethodNames } from '../plan-options.js';
import { maskedBelow } from '../prove/cases.js';
import type { Site } from '../site.js';
import { balanceFactors, beyondFeatures } from './balanced.js';
import { reduceOver, sumOver } from './blocks.js';
import { sizeOf } from './exact-blocked.js';
import { type Inputs, type Lowering, numberOption } from './lowering.js';

const factories: Readonly<Record<string, KernelFactory>> = kernels satisfies Record<
  (typeof signedKernelNames)[number],
  KernelFactory
>;
const methods: Readonly<Record<string, KernelFeatures>> = { gorf, grff } satisfies Record<
  (typeof signedMethodNames)[number],
  KernelFeatures
>;

export const signed: Lowering = {
  summary: 'a signed kernel in place of softmax: linear time; for models trained with it',
  ...optionsOf('signed'),
  declines: beyondFeatures,
  keyEquivalents: (options) => 1.5 * numberOption(options, 'm'),
  lower(build, inputs, options) {
    const { site } = inputs;
    const draw = drawHeads(inputs, options);
    const unit = kernelOf(site, options).domain === 'sphere';
    const side = (value: string, axis: number) => (unit ? overLength(build, value, axis) : value);
    const keys = circle(build, build.op('MatMul', [draw.keys(build), side(inputs.kT(), 2)]), 2);
    const sums = sumKeys(build, inputs, keys);
    const queries = circle(build, build.op('MatMul', [side(inputs.q, 3), draw.queries(build)]), 3);
    return readOut(build, { queries, sums, draw, options });
  },
};

function kernelOf({ headDim }: Site, options: Options): Kernel {
  return factories[String(options.kernel)]({ d: headDim });
}

/** The constants of the group's heads. The split into blocks and parts depends on kernel and m alone: heads have equal shapes. */
interface Draw {
  /** Ω for keys [1,H,n,D] and for queries [1,H,D,n], all factors applied. */
  readonly keys: (build: Builder) => string;
  readonly queries: (build: Builder) => string;
  /** ±a² of the cosines, then of the sines: [1,H,2n,1]. */
  readonly weights: (build: Builder, of: (weight: number) => number) => string;
  readonly constant: number;
  readonly lift: number;
}

/** @throws PerformersError PF412 when m gives the parts of the kernel's measure too few channels */
function drawHeads({ site, heads }: Inputs, options: Options): Draw {
  const d = site.headDim;
  const kernel = kernelOf(site, options);
  const [m, seed] = [numberOption(options, 'm'), numberOption(options, 'seed')];
  const maps = heads.map((head) => methods[String(options.method)](kernel, { m, seed: streamSeed(seed, head) }));
  const blocks = maps.map(({ fourier }) => {
    if (!fourier) throw new TypeError('a spectral method made no cosines');
    return fourier;
  });
  const omega = blocks.flatMap(({ positive, negative }) => [...positive.omega, ...negative.omega]); // [H,n,D]
  const weights = blocks.flatMap(({ positive, negative }) => {
    const own = [...positive.amplitude.map((a) => a * a), ...negative.amplitude.map((a) => -a * a)];
    return [...own, ...own];
  });
  const n = omega.length / (heads.length * d);
  const bandwidth = numberOption(options, 'bandwidth');
  const [toX, toY] = balanceFactors(site);
  const transposed = Float64Array.from(omega, (_, i) => {
    const [head, column, row] = [Math.floor(i / (n * d)), Math.floor((i % (n * d)) / n), i % n];
    return omega[(head * n + row) * d + column];
  });
  // Rows on the sphere have no scale left.
  const factor = (own: number) => (kernel.domain === 'sphere' ? Math.sign(own) : own / bandwidth);
  return {
    keys: (build) =>
      build.float(
        omega.map((value) => value * factor(toY)),
        [1, heads.length, n, d],
      ),
    queries: (build) =>
      build.float(
        transposed.map((value) => value * factor(toX)),
        [1, heads.length, d, n],
      ),
    weights: (build, of) => build.float(weights.map(of), [1, heads.length, 2 * n, 1]),
    constant: blocks[0].positive.constant - blocks[0].negative.constant,
    lift: options.normaliser === 'lift' ? Math.max(...maps.map((map) => liftOf(kernel, map))) : 0,
  };
}

/** Rows, or columns, over their lengths; zeros stay zeros. */
function overLength(build: Builder, value: string, axis: number): string {
  const length = build.op('Sqrt', [sumOver(build, build.op('Mul', [value, value]), [axis])]);
  return build.op('Div', [value, build.op('Max', [length, build.float([1e-30], [])])]);
}

/** Cosines, then sines. */
function circle(build: Builder, angles: string, axis: number): string {
  return build.op('Concat', [build.op('Cos', [angles]), build.op('Sin', [angles])], { axis });
}

/** What queries need to know of keys and values. */
interface Sums {
  readonly z: string; // [B,H,2n,1]
  readonly kv: string; // [B,H,2n,E]
  /** Σ e, 0 where all keys are masked and at least 1 elsewhere. [B or 1,1,1,1], [1] without a mask */
  readonly count: string;
  /** Σ e v [B,H,1,E] */
  readonly total: string;
}

function sumKeys(build: Builder, { keyBias, v }: Inputs, keys: string): Sums {
  if (!keyBias) {
    return {
      z: sumOver(build, keys, [3]),
      kv: build.op('MatMul', [keys, v]),
      count: build.op('Cast', [sizeOf(build, v, 2)], { to: 1 }),
      total: sumOver(build, v, [2]),
    };
  }
  const most = reduceOver(build, 'ReduceMax', keyBias, 3);
  const seen = build.op('Greater', [keyBias, build.float([maskedBelow], [])]);
  const e = build.op('Where', [seen, build.op('Exp', [build.op('Sub', [keyBias, most])]), build.float([0], [])]);
  const weighed = build.op('Mul', [keys, e]);
  return {
    z: sumOver(build, weighed, [3]),
    kv: build.op('MatMul', [weighed, v]),
    count: sumOver(build, e, [3]),
    total: build.op('MatMul', [e, v]),
  };
}

interface ReadOut {
  readonly queries: string; // [B,H,N,2n]
  readonly sums: Sums;
  readonly draw: Draw;
  readonly options: Options;
}

function readOut(build: Builder, given: ReadOut): string {
  const { queries, sums, draw, options } = given;
  const signedWeights = draw.weights(build, (weight) => weight);
  const plus = (value: string, factor: number, sum: string) =>
    factor === 0 ? value : build.op('Add', [value, build.op('Mul', [sum, build.float([factor], [])])]);
  const products = build.op('MatMul', [queries, build.op('Mul', [sums.kv, signedWeights])]);
  const numerator = plus(products, draw.constant + draw.lift, sums.total);
  // Where a count is 0 so is the numerator.
  const safeCount = build.op('Max', [sums.count, build.float([1], [])]);
  if (options.normaliser === 'count') return build.op('Div', [numerator, safeCount]);
  const weighed = build.op('Mul', [sums.z, signedWeights]);
  const denominator =
    options.normaliser === 'total-variation'
      ? plus(
          build.op('MatMul', [queries, build.op('Mul', [sums.z, draw.weights(build, Math.abs)])]),
          Math.abs(draw.constant),
          sums.count,
        )
      : plus(build.op('MatMul', [queries, weighed]), draw.constant + draw.lift, sums.count);
  const square = (value: string) => build.op('Mul', [value, value]);
  const variance = plus(build.op('MatMul', [square(queries), square(weighed)]), draw.constant ** 2, square(sums.count));
  const noise = build.op('Mul', [build.op('Sqrt', [variance]), build.float([numberOption(options, 'kappa')], [])]);
  const kept = build.op('Greater', [denominator, noise]);
  const safe = build.op('Where', [kept, denominator, build.float([1], [])]);
  return build.op('Where', [kept, build.op('Div', [numerator, safe]), build.op('Div', [sums.total, safeCount])]);
}
