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
/** Rows that an entry of a matrix is read for at once. */
const abreast = 4;

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
    const count = Math.min(rowsPerInput, B * N);
    const rows = Array.from({ length: count }, (_, i) => Math.floor((i * B * N) / count));
    for (let i = 0; i < count; i += abreast) {
      const some = rows.slice(i, i + abreast);
      const o = rowsOf(patched, some, means.patched);
      const r = rowsOf(original, some, means.original);
      addProducts({ normal, target }, gram, { o, r, H, E });
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

/** Some tokens of all heads, less the mean: [H,E,abreast], zeros behind the last of them. */
function rowsOf({ data, dims }: Array4, rows: readonly number[], mean: Float64Array): Float64Array {
  const [, H = 0, N = 0, E = 0] = dims;
  const out = new Float64Array(H * E * abreast);
  for (const [at, row] of rows.entries()) {
    const [b, n] = [Math.floor(row / N), row % N];
    for (let i = 0; i < H * E; i++)
      out[i * abreast + at] = data[((b * H + Math.floor(i / E)) * N + n) * E + (i % E)] - mean[i];
  }
  return out;
}

/** Adds o_gᵀ G_gh o_h to the normal matrix [H,H] and Σ_h o_gᵀ G_gh r_h to the target [H], G = W_o W_oᵀ, of a few tokens at once. */
function addProducts(
  { normal, target }: { readonly normal: Float64Array; readonly target: Float64Array },
  gram: Float64Array,
  { o, r, H, E }: { readonly o: Float64Array; readonly r: Float64Array; readonly H: number; readonly E: number },
): void {
  for (let i = 0, at = 0; i < H * E; i++) {
    const g = Math.floor(i / E);
    const own = i * abreast;
    for (let h = 0, j = 0; h < H; h++) {
      let [o0, o1, o2, o3] = [0, 0, 0, 0];
      let [r0, r1, r2, r3] = [0, 0, 0, 0];
      for (const end = j + E * abreast; j < end; j += abreast, at++) {
        const entry = gram[at];
        o0 += entry * o[j];
        o1 += entry * o[j + 1];
        o2 += entry * o[j + 2];
        o3 += entry * o[j + 3];
        r0 += entry * r[j];
        r1 += entry * r[j + 1];
        r2 += entry * r[j + 2];
        r3 += entry * r[j + 3];
      }
      normal[g * H + h] += o[own] * o0 + o[own + 1] * o1 + o[own + 2] * o2 + o[own + 3] * o3;
      target[g] += o[own] * r0 + o[own + 1] * r1 + o[own + 2] * r2 + o[own + 3] * r3;
    }
  }
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
