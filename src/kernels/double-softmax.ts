/**
 * Linear attention with positive random features as two attentions (attention/double-softmax.ts has the formulas):
 *
 *   KV, L = attend(Ω, k, v, bias_j = keyBias_j − scale|k_j|²/2)     every feature attends the keys: what it has of them
 *   out   = attend(q, Ω, KV, bias_r = L_r + 2b_r)                    every query attends the features
 *
 * Neither N × M features nor N × S scores are ever in memory. Cost 2M(D + E) multiply-adds and 2 M exponentials a token.
 */
import type { GpuArray } from './array.js';
import { type AttendOptions, attendInto } from './attend.js';
import { keyBiasKernel } from './gen/key-bias.js';
import type { AttendResult } from './merge.js';
import { eachPiece, headsApart, layerFits, part, partsInto, rowsWithin } from './pieces.js';
import type { Recording } from './record.js';
import { lanesOf, layerFaults, refuse, type Shapes } from './shape.js';

export interface FeatureAttentionInput {
  readonly B: number;
  /** Query heads, a multiple of G. */
  readonly H: number;
  /** Key heads. Default: H. Heads that share keys share features too. */
  readonly G?: number;
  readonly N: number;
  readonly S: number;
  readonly D: number;
  readonly E: number;
  /** Features a head. */
  readonly M: number;
  readonly q: GpuArray; // [B,H,N,D]
  readonly k: GpuArray; // [B,G,S,D]
  readonly v: GpuArray; // [B,G,S,E]
  readonly omega: GpuArray; // [G,M,D], of q's type
  /** f32 [G,M]; one number for all features of a head changes nothing. Default: zeros. */
  readonly featureBias?: GpuArray;
  /** f32 [B,S]; −Infinity hides the key. Default: none. */
  readonly keyBias?: GpuArray;
  /** Of q·k; positive. */
  readonly scale: number;
  /** Where the sides carry factors of their own: x = √scale q and y = √keyScale k. Default: scale. */
  readonly keyScale?: number;
}

/** All that queries need to know of keys and values; its size does not depend on S. */
export interface FeatureState {
  /** KV: the mean value a feature sees, f32 [B,G,M,E]. */
  readonly out: GpuArray;
  /** L: the log mass of a feature, f32 [B,G,M]. */
  readonly lse: GpuArray;
}

/** A state and what the keys it is of have added to their scores: keyBias_j − scale|k_j|²/2, f32 [B,G,S]. */
export interface StateOfKeys extends FeatureState {
  readonly bias: GpuArray;
}

/**
 * Records linear attention; the caller frees what it returns. `lse` is that of the second softmax, log Σ_r exp(ω_r·x_i + L_r + 2b_r): the log
 * of the row's sum of weights but for the factor exp(−|x_i|²/2).
 *
 * @throws PerformersError PF706 naming every array of the wrong type or length
 */
export function featureAttention(recording: Recording, input: FeatureAttentionInput): AttendResult {
  const { B, H, N, E, q } = input;
  checkFeatureAttention(input);
  const result = { out: recording.result(q.type, B * H * N * E), lse: recording.result('f32', B * H * N) };
  featureAttentionInto(recording, input, result);
  return result;
}

function featureAttentionInto(recording: Recording, input: FeatureAttentionInput, results: AttendResult): void {
  const { B, H, G = H, E, M } = input;
  // Queries of one key head, and its keys, come apart in attendInto.
  if (B * G > 1 && !layerFits(recording, { ...input, ...results }, featureShapes, 4 * B * G * M * E)) {
    headsApart(recording, input, { shapes: featureShapes, results }, (own, into) =>
      featureAttentionInto(recording, own, into),
    );
    return;
  }
  readFeatures(recording, input, featureState(recording, input), results);
}

export const featureShapes = {
  q: 'elem B,H,N,D',
  k: 'elem B,G,S,D',
  v: 'elem B,G,S,E',
  omega: 'elem G,M,D',
  featureBias: 'f32 G,M',
  keyBias: 'f32 B,S',
  out: 'elem B,H,N,E',
  lse: 'f32 B,H,N',
};

/** What features have of the keys, in scratch arrays. With `split`, of each range of keys alone: [parts,B,G,M,·]; or of these keys beside `goOn`, in it. */
export function featureState(
  recording: Recording,
  input: FeatureAttentionInput,
  { split, goOn }: Pick<AttendOptions, 'split'> & { readonly goOn?: FeatureState } = {},
): StateOfKeys {
  const { B, H, G = H, S, D, E, M, k, v, omega, keyBias, scale, keyScale = scale } = input;
  const bias = recording.scratch('f32', B * G * S);
  sumBias(recording, { units: B * G, keys: S, base: keyBias, baseUnits: B, k, D, half: keyScale / 2 }, bias);
  const parts = split?.parts ?? 1;
  // In f32 whatever v is: sums of thousands of values.
  const state = goOn ?? {
    out: recording.scratch('f32', parts * B * G * M * E),
    lse: recording.scratch('f32', parts * B * G * M),
  };
  const shape = { B, H: G, G, N: M, S, D, E };
  attendInto(recording, { ...shape, q: omega, k, v, bias, scale: Math.sqrt(keyScale) }, state, {
    split,
    resume: goOn !== undefined,
  });
  return { ...state, bias };
}

/** Queries attend the features; with `setRows`, every so many of them a state of their own, [sets,B,G,M,·]. */
export function readFeatures(
  recording: Recording,
  input: FeatureAttentionInput,
  state: FeatureState,
  into: AttendResult,
  setRows?: number,
): void {
  const { B, H, G = H, N, D, E, M, q, omega, featureBias, scale } = input;
  const units = (setRows ? Math.ceil(N / setRows) : 1) * B * G;
  const bias = recording.scratch('f32', units * M);
  sumBias(recording, { units, keys: M, base: state.lse, baseUnits: units, more: featureBias, gain: 2 }, bias);
  const shape = { B, H, G, N, S: M, D, E };
  attendInto(recording, { ...shape, q, k: omega, v: state.out, bias, scale: Math.sqrt(scale) }, into, { setRows });
}

interface BiasTerms {
  readonly units: number;
  readonly keys: number;
  readonly base?: GpuArray;
  readonly baseUnits: number;
  readonly more?: GpuArray;
  readonly gain?: number;
  readonly k?: GpuArray;
  readonly D?: number;
  readonly half?: number;
}

/** What is added to the scores of keys, `out` f32 [units,keys]: see key_bias.wgsl. Arrays beyond a binding are those of one head. */
export function sumBias(recording: Recording, terms: BiasTerms, out: GpuArray): void {
  const { units, keys, base, baseUnits, more, gain = 0, k, D = 1, half = 0 } = terms;
  const step = rowsWithin(recording, 4 * D, 64);
  if (units === 1 && keys > step) {
    eachPiece(recording, keys, step, (first, rows) => {
      const own = (array: GpuArray | undefined) => array && part(recording, array, first, rows);
      const given = { base: own(base), more: own(more), k: k && part(recording, k, first * D, rows * D) };
      partsInto(recording, [[out, first, rows]], (piece) =>
        sumBias(recording, { ...terms, keys: rows, ...given }, piece),
      );
    });
    return;
  }
  const { LANES, quad, sums } = lanesOf([D], k?.type ?? 'f32', 'f32');
  const WG = 64;
  const [BASE, MORE, SQUARE] = [base, more, k].map((array) => array !== undefined);
  recording.dispatch({
    kernel: keyBiasKernel,
    parameters: { LANES, quad, sums, D, WG, BASE, MORE, SQUARE },
    bindings: { base, more, k, out },
    uniform: {
      ...{ rows: units * keys, keys, baseUnits, baseSpan: units / baseUnits, gain, half },
      moreUnits: (more?.length ?? keys) / keys,
    },
    groups: Math.ceil((units * keys) / WG),
  });
}

/** @throws PerformersError PF706 */
export function checkFeatureAttention(input: FeatureAttentionInput, shapes: Shapes = featureShapes): void {
  const { scale, keyScale = scale } = input;
  refuse('featureAttention', [
    ...layerFaults(input, shapes),
    ...Object.entries({ scale, keyScale }).map(([name, value]) =>
      value > 0 && Number.isFinite(value) ? undefined : `${name} must be positive, got ${value}`,
    ),
  ]);
}
