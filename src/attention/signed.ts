/**
 * Linear attention whose weights are a signed kernel of queries and keys, k̂(x, y) = φ(x)ᵀ S φ(y) with x = √scale·q, y = √scale·k:
 *   O_i = Σ_j w_ij v_j / D_i,   D_i = Σ_j w_ij,   w_ij = k̂(x_i, y_j) exp(keyBias_j)
 * for models trained with such a kernel (a centre less its surround, a truncated distance). Sums over keys come first, so that the
 * cost is linear: Z = Σ_j exp(b_j) φ(y_j) [M], KV = Σ_j exp(b_j) φ(y_j) v_jᵀ [M,E], O_i = φ(x_i)ᵀ S KV / φ(x_i)ᵀ S Z.
 *
 * Where it fails. Weights may be negative and D_i may vanish: for a query far from all keys, where k is 0, for one whose near and
 * far keys balance, and anywhere by sampling noise. Raising D_i to some ε then gives outputs many times larger than any value.
 * Here a row whose denominator is below κ times its noise, √Σ_r (φ_r(x_i) Z_r)², is *rejected*: it gets the mean of the values,
 * and `rejected` says so. The denominators to choose from (METHODS C.6, derived there; the region is tested here):
 *   lift             D_i + c Σ_j exp(b_j): weights k̂ + c. With c ≥ −min k + 3 standard errors (`liftOf`) all but one in a thousand
 *                    are positive; outputs are then means, drawn towards the plain mean as c grows. The default.
 *   total-variation  Σ_j (φ₊·φ₊ + φ₋·φ₋) exp(b_j): weights of either sign whose sizes sum to at most about 1. Small where the two
 *                    parts cancel: there the output tends to 0, not to a mean.
 *   guard            D_i itself. Rejects most; what it lets through is the kernel's own attention.
 *   count            Σ_j exp(b_j): no normaliser but the number of keys, for a norm that follows. Rejects nothing.
 *
 * Numerics  k̂ is a difference of positive sums: rounding is ε times the total mass of the measure. keyBias is shifted by its maximum.
 * Cost      (N + S)(flops of φ + 2M(E + 1)), and M(E + 1) numbers of state a head: no causal form here.
 */
import { PerformersError } from '../errors.js';
import type { Kernel } from '../features/kernels/kernel.js';
import type { SignedMap } from '../features/signed/signed-map.js';
import { type AttentionInput, checkInput } from './exact.js';

/** What is known of a row of weights without forming it. */
export interface RowSums {
  /** Σ_j w_ij */
  readonly signed: number;
  /** Σ_j (φ₊·φ₊ + φ₋·φ₋) exp(b_j) */
  readonly absolute: number;
  /** √Σ_r (φ_r Z_r)², a standard error of the other two but for a constant. */
  readonly noise: number;
  /** Σ_j exp(b_j) */
  readonly count: number;
}

export interface Denominator {
  /** c: what is added to every weight. */
  readonly lift: number;
  readonly value: number;
  /** Whether noise can make `value` small; only then is the row judged. */
  readonly judged: boolean;
}

export type SignedNormaliser = (sums: RowSums, lift: number) => Denominator;

export const signedNormalisers = {
  lift: ({ signed, count }, lift) => ({ lift, value: signed + lift * count, judged: true }),
  'total-variation': ({ absolute }) => ({ lift: 0, value: absolute, judged: true }),
  guard: ({ signed }) => ({ lift: 0, value: signed, judged: true }),
  count: ({ count }) => ({ lift: 0, value: count, judged: false }),
} satisfies Record<string, SignedNormaliser>;

export interface SignedAttentionOptions {
  /** Features of the kernel, d = D; of a kernel on the sphere they need unit q and k, and scale 1. */
  readonly map: SignedMap;
  /** Default 'lift'. */
  readonly normaliser?: keyof typeof signedNormalisers;
  /** c of 'lift', ≥ 0: `liftOf(kernel, map)`. Needed by 'lift', unused elsewhere. */
  readonly lift?: number;
  /** κ: a row is rejected when its denominator is below κ·noise. Default 1; 0 rejects only denominators ≤ 0. */
  readonly kappa?: number;
}

export interface SignedAttention {
  readonly output: Float64Array; // [B,H,N,E]
  /** 1 for rows that got the mean of the values. Rows whose keys are all masked are zeros, and not counted. */
  readonly rejected: Uint8Array; // [B,H,N]
}

/** @throws PerformersError PF202 for arrays of the wrong length, a map of the wrong width, or a missing lift; PF413 off the sphere */
export function signedAttention(input: AttentionInput, options: SignedAttentionOptions): SignedAttention {
  checkInput(input);
  checkOptions(input, options);
  const { B, H, N, E } = input;
  const output = new Float64Array(B * H * N * E);
  const rejected = new Uint8Array(B * H * N);
  for (let bh = 0; bh < B * H; bh++) readOut(input, options, bh, summarize(input, options.map, bh), output, rejected);
  return { output, rejected };
}

/**
 * The c of 'lift': −min k over the distances of the kernel's profile, if k is negative anywhere, plus 3 standard errors of k̂.
 * One frequency of squared amplitude a² adds at most a⁴/2 to the variance.
 * @throws PerformersError PF411 for a kernel without a profile or a map that is not of cosines and sines
 */
export function liftOf({ name, profile }: Kernel, { fourier }: SignedMap): number {
  if (!profile || !fourier) {
    const lacks = profile ? 'cosine and sine features' : 'a profile';
    throw new PerformersError('PF411', `the ${name} kernel has no bound to lift it by: it needs ${lacks}`, {
      at: 'attention.liftOf',
      mend: 'use grff or gorf features, or pass a lift of your own: a number c with k + c > 0',
    });
  }
  let least = 0;
  for (let i = 0; i <= 400; i++) least = Math.min(least, profile.of((i / 400) * profile.range));
  const variance = [fourier.positive, fourier.negative].reduce(
    (sum, { amplitude }) => amplitude.reduce((all, a) => all + a ** 4 / 2, sum),
    0,
  );
  return 3 * Math.sqrt(variance) - least;
}

/** All that queries need to know of the keys and values of one head. */
interface Summary {
  readonly z: Float64Array; // [M]
  readonly kv: Float64Array; // [M,E]
  readonly count: number;
  readonly mean: Float64Array; // [E]
}

function summarize({ H, S, D, E, k, v, scale, keyBias }: AttentionInput, map: SignedMap, bh: number): Summary {
  const M = map.features;
  const bias = Float64Array.from({ length: S }, (_, j) => (keyBias ? keyBias[Math.floor(bh / H) * S + j] : 0)); // [S]
  const most = bias.reduce((max, value) => Math.max(max, value), -Infinity);
  const z = new Float64Array(M);
  const kv = new Float64Array(M * E);
  const mean = new Float64Array(E);
  let count = 0;
  for (let j = 0; j < S; j++) {
    const weight = Math.exp(bias[j] - most);
    // A masked key counts for nothing even where it is not finite; with all masked, bias − most is NaN.
    if (!(weight > 0)) continue;
    count += weight;
    const phi = map.phi(scaled(k, (bh * S + j) * D, D, scale));
    const value = (bh * S + j) * E;
    for (let e = 0; e < E; e++) mean[e] += weight * v[value + e];
    for (let r = 0; r < M; r++) {
      z[r] += weight * phi[r];
      for (let e = 0; e < E; e++) kv[r * E + e] += weight * phi[r] * v[value + e];
    }
  }
  return { z, kv, count, mean: count > 0 ? mean.map((sum) => sum / count) : mean };
}

function readOut(
  { N, D, E, q, scale }: AttentionInput,
  { map, normaliser = 'lift', lift = 0, kappa = 1 }: SignedAttentionOptions,
  bh: number,
  { z, kv, count, mean }: Summary,
  output: Float64Array,
  rejected: Uint8Array,
): void {
  if (count === 0) return;
  for (let i = 0; i < N; i++) {
    const phi = map.phi(scaled(q, (bh * N + i) * D, D, scale));
    const sums = sumsOf(phi, z, map.signs, count);
    const denominator = signedNormalisers[normaliser](sums, lift);
    const row = output.subarray((bh * N + i) * E, (bh * N + i + 1) * E);
    if (denominator.judged && !(denominator.value > kappa * sums.noise)) {
      row.set(mean);
      rejected[bh * N + i] = 1;
      continue;
    }
    phi.forEach((value, r) => {
      const signed = map.signs[r] * value;
      for (let e = 0; e < E; e++) row[e] += signed * kv[r * E + e];
    });
    for (let e = 0; e < E; e++) row[e] = (row[e] + denominator.lift * count * mean[e]) / denominator.value;
  }
}

function sumsOf(phi: Float64Array, z: Float64Array, signs: Int8Array, count: number): RowSums {
  let signed = 0;
  let absolute = 0;
  let square = 0;
  for (let r = 0; r < z.length; r++) {
    const product = phi[r] * z[r];
    signed += signs[r] * product;
    absolute += product;
    square += product * product;
  }
  return { signed, absolute, noise: Math.sqrt(square), count };
}

function scaled(rows: ArrayLike<number>, at: number, D: number, scale: number): Float64Array {
  return Float64Array.from({ length: D }, (_, d) => Math.sqrt(scale) * rows[at + d]);
}

function checkOptions(
  { D, scale }: AttentionInput,
  { map, normaliser = 'lift', lift, kappa = 1 }: SignedAttentionOptions,
): void {
  const names = Object.keys(signedNormalisers);
  const wrong = [
    map.d === D ? undefined : `map must be of width D = ${D}, got ${map.d}`,
    scale > 0 ? undefined : `scale must be positive for √scale to exist, got ${scale}`,
    names.includes(normaliser) ? undefined : `normaliser must be one of ${names.join(', ')}, got ${normaliser}`,
    normaliser !== 'lift' || (lift !== undefined && lift >= 0 && Number.isFinite(lift))
      ? undefined
      : `lift must be finite and >= 0 with normaliser 'lift', got ${lift}`,
    kappa >= 0 && Number.isFinite(kappa) ? undefined : `kappa must be finite and >= 0, got ${kappa}`,
  ].filter((message) => message !== undefined);
  if (wrong.length === 0) return;
  throw new PerformersError('PF202', wrong.join('; '), {
    at: 'attention.signed',
    mend: 'make the map for the head width of this layer, and its lift with liftOf(kernel, map)',
  });
}
