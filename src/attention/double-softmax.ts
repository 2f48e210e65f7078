/**
 * Linear attention with positive random features, as two softmaxes. For x = √scale·q, y = √scale·k and features
 * φ(x)ᵣ = exp(ωᵣ·x − |x|²/2 + bᵣ), a Performer (Choromanski et al. 2021, eq. 4) computes
 *   O_i = Σ_j φ(x_i)·φ(y_j) v_j / Σ_j φ(x_i)·φ(y_j)
 * The same with the sums over j first (the form of LARA, Zheng et al. 2022):
 *   A_jr = ωᵣ·y_j − |y_j|²/2 + 2bᵣ + keyBias_j     key logits; 2b, as the keys carry the bias of both sides
 *   Lᵣ   = logsumexp_j A_jr                        log mass of feature r
 *   KVᵣ  = Σ_j softmax_j(A_jr) v_j                 mean value seen by feature r
 *   O_i  = Σ_r softmax_r(ωᵣ·x_i + Lᵣ) KVᵣ          |x_i|² is the same for all r and cancels
 *
 * Numerics: each softmax subtracts its own maximum, so nothing overflows, no ε pulls the weights towards uniform, and
 * every output is a convex combination of values. The maximum over keys is one number for each feature, of the whole
 * exponent: one for each key would not cancel. With every key masked all Lᵣ are −∞; such a row gives zeros.
 */
import { PerformersError } from '../errors.js';
import type { FeatureConstants } from '../features/favor-plus.js';
import { type AttentionInput, checkInput, dot, lengthError, type Reals } from './exact.js';

/** The constants as a feature map makes them, or in float64. */
export type PositiveFeatures = { readonly [name in keyof FeatureConstants]: Reals }; // omega [H,M,D], bias [H,M]

/** @throws PerformersError PF202 naming every array of the wrong length, or a scale that is not positive */
export function doubleSoftmax(input: AttentionInput, features: PositiveFeatures): Float64Array {
  checkInput(input);
  checkFeatures(input, features);
  const { B, H, N, E } = input;
  const out = new Float64Array(B * H * N * E); // [B,H,N,E]
  for (let bh = 0; bh < B * H; bh++) {
    readOut(input, features, bh, summarize(input, features, bh), out);
  }
  return out;
}

/** All that queries need to know of the keys and values of one head. Its size does not depend on S. */
interface Summary {
  readonly mass: Float64Array; // L [M]
  readonly kv: Float64Array; // [M,E]
}

function summarize(input: AttentionInput, { omega, bias }: PositiveFeatures, bh: number): Summary {
  const { H, S, D, E, k, v, scale, keyBias } = input;
  const M = bias.length / H;
  const first = (bh % H) * M;
  const offset = new Float64Array(S); // keyBias_j − |y_j|²/2
  for (let j = 0; j < S; j++) {
    const key = (bh * S + j) * D;
    offset[j] = (keyBias ? keyBias[Math.floor(bh / H) * S + j] : 0) - 0.5 * scale * dot(k, key, k, key, D);
  }
  const mass = new Float64Array(M);
  const kv = new Float64Array(M * E);
  const column = new Float64Array(S); // A_jr for one r
  for (let r = 0; r < M; r++) {
    for (let j = 0; j < S; j++) {
      column[j] = Math.sqrt(scale) * dot(omega, (first + r) * D, k, (bh * S + j) * D, D) + offset[j];
    }
    mass[r] = 2 * bias[first + r] + softmaxInPlace(column);
    accumulate(column, v, bh * S * E, kv.subarray(r * E, (r + 1) * E));
  }
  return { mass, kv };
}

function readOut(
  input: AttentionInput,
  { omega, bias }: PositiveFeatures,
  bh: number,
  summary: Summary,
  out: Float64Array,
) {
  const { H, N, D, E, q, scale } = input;
  const M = bias.length / H;
  const first = (bh % H) * M;
  const row = new Float64Array(M);
  for (let i = 0; i < N; i++) {
    for (let r = 0; r < M; r++) {
      row[r] = Math.sqrt(scale) * dot(omega, (first + r) * D, q, (bh * N + i) * D, D) + summary.mass[r];
    }
    softmaxInPlace(row);
    accumulate(row, summary.kv, 0, out.subarray((bh * N + i) * E, (bh * N + i + 1) * E));
  }
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

function checkFeatures({ H, D, scale }: AttentionInput, { omega, bias }: PositiveFeatures): void {
  const M = Math.max(1, Math.floor(bias.length / H));
  const wrong = [
    scale > 0 ? undefined : `scale must be positive for √scale to exist, got ${scale}`,
    lengthError('bias', bias, '[H,M]', [H, M]),
    lengthError('omega', omega, '[H,M,D]', [H, M, D]),
  ].filter((message) => message !== undefined);
  if (wrong.length === 0) return;
  throw new PerformersError('PF202', wrong.join('; '), {
    at: 'features',
    mend: 'make the constants for the heads and head width of this layer',
  });
}
