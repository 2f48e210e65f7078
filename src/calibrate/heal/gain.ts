/**
 * Healing in closed form: one gain a head and one bias a head, fitted layer by layer on the stream as it is behind the
 * layers patched before.
 *
 *   o'_h = g_h (o_h − ō_h) + r̄_h          o the patched context, r the original one, bars their means over tokens
 *   g      least squares of Σ_h g_h (o_h − ō_h) W_o,h against Σ_h (r_h − r̄_h) W_o,h, drawn to 1 by a ridge
 *
 * Few parameters on purpose: what a far field gets wrong is much the same for all tokens of one input, so the sample
 * size of a fit is the number of inputs, and matrices memorise them (QUALITY). The correction lives inside the replaced
 * branch and is not there where a site is exact.
 */
import { cholesky, solveCholesky } from '../../features/cholesky.js';
import type { Array4 } from '../record.js';

/** Rows taken of each input for the gains; the means take all. */
const rowsPerInput = 64;
const ridge = 0.01;

export interface Healing {
  /** [H] and [H,E]. */
  readonly gain: Float32Array;
  readonly bias: Float32Array;
}

/** One input's contexts [B,H,N,E] of a layer. */
export interface ContextPair {
  readonly patched: Array4;
  readonly original: Array4;
}

/** `weight` [H,E,Dm], or undefined where W_o is not in plain sight: then heads are fitted one by one. */
export function fitHealing(pairs: readonly ContextPair[], weight: Array4 | undefined): Healing {
  const [, H = 0, , E = 0] = pairs[0]?.patched.dims ?? [];
  const means = {
    patched: meanContext(pairs.map(({ patched }) => patched)),
    original: meanContext(pairs.map(({ original }) => original)),
  };
  const normal = new Float64Array(H * H);
  const target = new Float64Array(H);
  const gram = gramOf(weight, H * E);
  for (const { patched, original } of pairs) {
    const [B = 1, , N = 0] = patched.dims;
    for (let i = 0; i < Math.min(rowsPerInput, B * N); i++) {
      const row = Math.floor((i * B * N) / Math.min(rowsPerInput, B * N));
      const [o, r] = [rowOf(patched, row, means.patched), rowOf(original, row, means.original)];
      for (let g = 0, at = 0; g < H; g++) {
        for (let e = 0; e < E; e++) {
          const own = o[g * E + e];
          let wanted = 0;
          for (let h = 0, j = 0; h < H; h++) {
            let sum = 0;
            for (const end = j + E; j < end; j++, at++) {
              sum += gram[at] * o[j];
              wanted += gram[at] * r[j];
            }
            normal[g * H + h] += own * sum;
          }
          target[g] += own * wanted;
        }
      }
    }
  }
  let trace = 0;
  for (let h = 0; h < H; h++) trace += normal[h * H + h];
  const pull = (ridge * trace) / H + Number.MIN_VALUE;
  for (let g = 0; g < H; g++) {
    normal[g * H + g] += pull;
    target[g] += pull;
  }
  const gain = Float32Array.from(solveCholesky(cholesky(normal, H), target, H));
  const bias = new Float32Array(H * E);
  for (let i = 0; i < H * E; i++) bias[i] = means.original[i] - gain[Math.floor(i / E)] * means.patched[i];
  return { gain, bias };
}

/** Mean over inputs and tokens: [H,E]. */
function meanContext(contexts: readonly Array4[]): Float64Array {
  const [, H = 0, , E = 0] = contexts[0]?.dims ?? [];
  const mean = new Float64Array(H * E);
  let rows = 0;
  for (const { data, dims } of contexts) {
    const [B = 1, , N = 0] = dims;
    for (let b = 0; b < B; b++)
      for (let h = 0; h < H; h++)
        for (let n = 0; n < N; n++) for (let e = 0; e < E; e++) mean[h * E + e] += data[((b * H + h) * N + n) * E + e];
    rows += B * N;
  }
  return mean.map((sum) => sum / rows);
}

/** One token of all heads, less the mean: [H,E]. */
function rowOf({ data, dims }: Array4, row: number, mean: Float64Array): Float64Array {
  const [, H = 0, N = 0, E = 0] = dims;
  const [b, n] = [Math.floor(row / N), row % N];
  return Float64Array.from(mean, (m, i) => data[((b * H + Math.floor(i / E)) * N + n) * E + (i % E)] - m);
}

/** W_o W_oᵀ [H·E,H·E]; the identity where W_o is not known. */
function gramOf(weight: Array4 | undefined, size: number): Float64Array {
  const gram = new Float64Array(size * size);
  const rows = weight && Float64Array.from(weight.data);
  const width = weight?.dims[2] ?? 0;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = rows || i !== j ? 0 : 1;
      for (let f = 0; rows && f < width; f++) sum += rows[i * width + f] * rows[j * width + f];
      gram[i * size + j] = gram[j * size + i] = sum;
    }
  }
  return gram;
}
