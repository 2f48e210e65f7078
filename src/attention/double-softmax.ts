/**
 * Linear attention with positive random features, as two softmaxes. For x = √scale·q, y = √scale·k and features
 * φ(x)ᵣ = exp(ωᵣ·x − |x|²/2 + bᵣ), a Performer (Choromanski et al. 2021, eq. 4) computes
 *   O_i = Σ_j φ(x_i)·φ(y_j) v_j / Σ_j φ(x_i)·φ(y_j)
 * The same with the sums over j first (the form of LARA, Zheng et al. 2022):
 *   A_jr = ωᵣ·y_j − |y_j|²/2 + 2bᵣ + keyBias_j     key logits; 2b, as the keys carry the bias of both sides
 *   Lᵣ   = logsumexp_j A_jr                        log mass of feature r
 *   KVᵣ  = Σ_j softmax_j(A_jr) v_j                 mean value seen by feature r
 *   O_i  = Σ_r softmax_r(ωᵣ·x_i + Lᵣ) KVᵣ          |x_i|² is the same for all r and cancels
 * Maps whose sides differ (features/aderf.ts) have an ω for each, and |keyBasis·y_j|² in place of |y_j|².
 *
 * Numerics: each softmax subtracts its own maximum, so nothing overflows, no ε pulls the weights towards uniform, and
 * every output is a convex combination of values. The maximum over keys is one number for each feature, of the whole
 * exponent: one for each key would not cancel. With every key masked all Lᵣ are −∞; such a row gives zeros.
 */
import { PerformersError } from '../errors.js';
import type { AsymmetricConstants } from '../features/aderf.js';
import type { FeatureConstants } from '../features/favor-plus.js';
import { type AttentionInput, checkInput, dot, lengthError, type Reals } from './exact.js';

/** The constants as a feature map makes them, or in float64. */
export type PositiveFeatures = { readonly [name in keyof FeatureConstants]: Reals }; // omega [H,M,D], bias [H,M]

/** The same with an Ω a side: queryOmega and keyOmega [H,M,D], keyBasis [H,D,D], bias [H,M]. */
export type AsymmetricFeatures = { readonly [name in keyof AsymmetricConstants]: Reals };

/** @throws PerformersError PF202 naming every array of the wrong length, or a scale that is not positive */
export function doubleSoftmax(input: AttentionInput, features: PositiveFeatures | AsymmetricFeatures): Float64Array {
  checkInput(input);
  checkFeatures(input, features);
  const { B, H, N, E } = input;
  const sides: Sides =
    'omega' in features ? { queryOmega: features.omega, keyOmega: features.omega, bias: features.bias } : features;
  const out = new Float64Array(B * H * N * E); // [B,H,N,E]
  for (let bh = 0; bh < B * H; bh++) {
    readOut(input, sides, bh, summarize(input, sides, bh), out);
  }
  return out;
}

/** keyBasis is the identity where there is none. */
type Sides = Omit<AsymmetricFeatures, 'keyBasis'> & Partial<Pick<AsymmetricFeatures, 'keyBasis'>>;

/** All that queries need to know of the keys and values of one head. Its size does not depend on S. */
interface Summary {
  readonly mass: Float64Array; // L [M]
  readonly kv: Float64Array; // [M,E]
}

function summarize(input: AttentionInput, { keyOmega, keyBasis, bias }: Sides, bh: number): Summary {
  const { H, S, D, E, k, v, scale, keyBias } = input;
  const M = bias.length / H;
  const first = (bh % H) * M;
  const offset = new Float64Array(S); // keyBias_j − |keyBasis·y_j|²/2
  const basis = (bh % H) * D * D;
  for (let j = 0; j < S; j++) {
    const key = (bh * S + j) * D;
    const square = keyBasis ? turnedSquare(keyBasis, basis, k, key, D) : dot(k, key, k, key, D);
    offset[j] = (keyBias ? keyBias[Math.floor(bh / H) * S + j] : 0) - 0.5 * scale * square;
  }
  const mass = new Float64Array(M);
  const kv = new Float64Array(M * E);
  const column = new Float64Array(S); // A_jr for one r
  for (let r = 0; r < M; r++) {
    for (let j = 0; j < S; j++) {
      column[j] = Math.sqrt(scale) * dot(keyOmega, (first + r) * D, k, (bh * S + j) * D, D) + offset[j];
    }
    mass[r] = 2 * bias[first + r] + softmaxInPlace(column);
    accumulate(column, v, bh * S * E, kv.subarray(r * E, (r + 1) * E));
  }
  return { mass, kv };
}

function readOut(input: AttentionInput, { queryOmega, bias }: Sides, bh: number, summary: Summary, out: Float64Array) {
  const { H, N, D, E, q, scale } = input;
  const M = bias.length / H;
  const first = (bh % H) * M;
  const row = new Float64Array(M);
  for (let i = 0; i < N; i++) {
    for (let r = 0; r < M; r++) {
      row[r] = Math.sqrt(scale) * dot(queryOmega, (first + r) * D, q, (bh * N + i) * D, D) + summary.mass[r];
    }
    softmaxInPlace(row);
    accumulate(row, summary.kv, 0, out.subarray((bh * N + i) * E, (bh * N + i + 1) * E));
  }
}

/** |A x|² of the matrix at `start` of a [D,D] and the vector at `from` of x [D]. */
function turnedSquare(a: Reals, start: number, x: Reals, from: number, D: number): number {
  let sum = 0;
  for (let i = 0; i < D; i++) sum += dot(a, start + i * D, x, from, D) ** 2;
  return sum;
}

/** Replaces logits by their softmax and returns their logsumexp; logits that are all −∞ become zeros. */
function softmaxInPlace(logits: Float64Array): number {
  const max = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  if (max === -Infinity) {
    logits.fill(0);
    return -Infinity;
  }
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    logits[i] = Math.exp(logits[i] - max);
    sum += logits[i];
  }
  for (let i = 0; i < logits.length; i++) logits[i] /= sum;
  return max + Math.log(sum);
}

/** Adds Σ_j weights[j] values[j,:] to `into` [E], where row j of `values` begins at start + j·E. */
function accumulate(weights: Float64Array, values: Reals, start: number, into: Float64Array): void {
  const E = into.length;
  for (let j = 0; j < weights.length; j++) {
    // A masked key counts for nothing even where its value is not finite.
    if (weights[j] === 0) continue;
    for (let e = 0; e < E; e++) into[e] += weights[j] * values[start + j * E + e];
  }
}

function checkFeatures({ H, D, scale }: AttentionInput, features: PositiveFeatures | AsymmetricFeatures): void {
  const { bias } = features;
  const M = Math.max(1, Math.floor(bias.length / H));
  const wrong = [
    scale > 0 ? undefined : `scale must be positive for √scale to exist, got ${scale}`,
    lengthError('bias', bias, '[H,M]', [H, M]),
    ...('omega' in features
      ? [lengthError('omega', features.omega, '[H,M,D]', [H, M, D])]
      : [
          lengthError('queryOmega', features.queryOmega, '[H,M,D]', [H, M, D]),
          lengthError('keyOmega', features.keyOmega, '[H,M,D]', [H, M, D]),
          lengthError('keyBasis', features.keyBasis, '[H,D,D]', [H, D, D]),
        ]),
  ].filter((message) => message !== undefined);
  if (wrong.length === 0) return;
  throw new PerformersError('PF202', wrong.join('; '), {
    at: 'features',
    mend: 'make the constants for the heads and head width of this layer',
  });
}
