/**
 * Causal linear attention with positive random features: query i sees keys 0 … i.
 *   O_i = Σ_{j≤i} w_ij v_j / Σ_{j≤i} w_ij,   w_ij = Σ_r exp(ω_r·x_i + ω_r·y_j − |y_j|²/2 + 2b_r)
 *
 * A prompt goes in chunks, all at once: the state of each chunk alone (attend, the keys in parts), the states before each from all of these (merge), what
 * queries have of those (attend, a set of values a chunk), and what they have of their own chunk (causal_pairs). After it one token at a time
 * changes the state in place (attend, going on from it). The state is a mean and a log mass a feature (METHODS of online softmax: a monoid), so that
 * nothing is ever divided by a small sum, and a prompt cut in two with the state carried is the prompt.
 *
 * Cost of a prompt: 4M(D + E) multiply-adds a token, CHUNK · M exponentials a token, and M(E + 1) numbers of state a chunk and head in memory;
 * where those are beyond a binding, heads come apart, and the prompt of a head in pieces.
 */
import { bytesOf, type GpuArray, upload } from './array.js';
import {
  checkFeatureAttention,
  type FeatureAttentionInput,
  type FeatureState,
  featureShapes,
  featureState,
  readFeatures,
} from './double-softmax.js';
import { causalPairsKernel } from './gen/causal-pairs.js';
import type { Gpu } from './gpu.js';
import { type AttendResult, mergeInto } from './merge.js';
import { eachPiece, headsApart, layerFits, mustFit, part, partsInto, roomOf, rowsWithin } from './pieces.js';
import type { Recording } from './record.js';
import { lanesOf } from './shape.js';

/** N = S: queries and keys are of the same tokens. */
export interface CausalInput extends Omit<FeatureAttentionInput, 'S' | 'keyScale'> {
  /** What came before. Default: nothing. */
  readonly state?: FeatureState;
}

export interface CausalResult extends AttendResult {
  /** Of all tokens so far; give it to the next call, or change it by `decodeStep`. */
  readonly state: FeatureState;
}

const CHUNK = 32;
const WG = 64;

/**
 * Records attention over a prompt, or the next piece of one; the caller frees what it returns.
 *
 * @throws PerformersError PF706 naming every array of the wrong type or length
 */
export function causalAttention(recording: Recording, input: CausalInput): CausalResult {
  const { B, H, G = H, N, E, M, q } = input;
  checkFeatureAttention(withState({ ...input, S: N }), shapes);
  const rows = B * G * M;
  const result = { out: recording.result(q.type, B * H * N * E), lse: recording.result('f32', B * H * N) };
  const last = { out: recording.result('f32', rows * E), lse: recording.result('f32', rows) };
  causalInto(recording, input, { ...result, lastOut: last.out, lastLse: last.lse });
  return { ...result, state: last };
}

type CausalArrays = Readonly<Record<'out' | 'lse' | 'lastOut' | 'lastLse', GpuArray>>;

const shapes = {
  ...featureShapes,
  'state.out': 'f32 B,G,M,E',
  'state.lse': 'f32 B,G,M',
  lastOut: 'f32 B,G,M,E',
  lastLse: 'f32 B,G,M',
};

/** What the shapes are of. */
function withState<Input extends { readonly state?: FeatureState }>(input: Input) {
  return { ...input, 'state.out': input.state?.out, 'state.lse': input.state?.lse };
}

/** Heads apart where arrays, or the states before all chunks, are beyond a binding; then pieces of the prompt, the state carried. */
function causalInto(recording: Recording, input: CausalInput, into: CausalArrays): void {
  const { B, H, G = H, N, D, E, M, q, k, v, keyBias, state } = input;
  const bytesOfState = 4 * B * G * M * E;
  if (layerFits(recording, { ...withState(input), ...into }, shapes, bytesOfState * (Math.ceil(N / CHUNK) + 1))) {
    causalPiece(recording, input, into);
    return;
  }
  if (B * H > 1) {
    headsApart(recording, withState(input), { shapes, results: into }, (own, written) => {
      const { 'state.out': out, 'state.lse': lse } = own;
      causalInto(recording, { ...own, state: out && lse && { out, lse } }, written);
    });
    return;
  }
  const bytesOfRow = Math.max(D, E) * bytesOf[q.type];
  const chunks = Math.floor(roomOf(recording.gpu) / bytesOfState) - 1;
  const step = Math.min(chunks * CHUNK, rowsWithin(recording, bytesOfRow, CHUNK));
  mustFit(recording, 'causalAttention', bytesOfState * 2, CHUNK * bytesOfRow, M * D * bytesOf[q.type]);
  // What a piece leaves is what the next begins with.
  const { lastOut, lastLse } = into;
  const carried = { out: recording.scratch('f32', lastOut.length), lse: recording.scratch('f32', lastLse.length) };
  eachPiece(recording, N, step, (first, rows) => {
    const own = (array: GpuArray, width: number) => part(recording, array, first * width, rows * width);
    const piece = {
      ...{ ...input, N: rows, q: own(q, D), k: own(k, D), v: own(v, E) },
      keyBias: keyBias && own(keyBias, 1),
      state: first > 0 ? carried : state,
    };
    const results = [[into.out, first * E, rows * E] as const, [into.lse, first, rows] as const];
    partsInto(recording, results, (out, lse) => causalPiece(recording, piece, { out, lse, lastOut, lastLse }));
    recording.copy(lastOut, carried.out);
    recording.copy(lastLse, carried.lse);
  });
}

function causalPiece(recording: Recording, input: CausalInput, { lastOut, lastLse, ...result }: CausalArrays): void {
  const { B, H, G = H, N, E, M, state } = input;
  const given: FeatureAttentionInput = { ...input, S: N };
  const rows = B * G * M;
  const parts = Math.ceil(N / CHUNK);
  const chunks = featureState(recording, given, { split: { parts, perPart: CHUNK } });
  // The states before each chunk and behind the last.
  const before = {
    out: recording.scratch('f32', (parts + 1) * rows * E),
    lse: recording.scratch('f32', (parts + 1) * rows),
  };
  mergeInto(recording, { parts, rows, E, pieces: chunks.out, masses: chunks.lse, first: state, every: true }, before);
  readFeatures(recording, given, before, result, CHUNK);
  addPairs(recording, given, chunks.bias, result);
  recording.copy({ ...before.out, offset: 4 * parts * rows * E, length: rows * E }, lastOut);
  recording.copy({ ...before.lse, offset: 4 * parts * rows, length: rows }, lastLse);
}

/** The state before the first token. */
export function emptyState(gpu: Gpu, { B, G, M, E }: { B: number; G: number; M: number; E: number }): FeatureState {
  const rows = B * G * M;
  return { out: upload(gpu, new Float32Array(rows * E)), lse: upload(gpu, new Float32Array(rows).fill(-3e38)) };
}

/**
 * Records one token: changes `state` in place, and returns what its query has of it, [B,H,E] of q's type; the caller frees that.
 * q [B,H,D], k [B,G,D], v [B,G,E]: the arrays of `CausalInput` for N = 1.
 *
 * @throws PerformersError PF706 naming every array of the wrong type or length
 */
export function decodeStep(
  recording: Recording,
  input: Omit<CausalInput, 'N'> & { readonly state: FeatureState },
): GpuArray {
  const { B, H, E, q, state } = input;
  const given = { ...input, N: 1, S: 1 };
  checkFeatureAttention(withState(given), shapes);
  const out = recording.result(q.type, B * H * E);
  featureState(recording, given, { goOn: state });
  readFeatures(recording, given, state, { out, lse: recording.scratch('f32', B * H) });
  return out;
}

function addPairs(
  recording: Recording,
  input: FeatureAttentionInput,
  bias: GpuArray,
  { out, lse }: AttendResult,
): void {
  const { B, H, G = H, N, D, E, M, q, k, v, omega, featureBias, scale } = input;
  recording.dispatch({
    kernel: causalPairsKernel,
    parameters: {
      ...lanesOf([D, E], q.type, out.type),
      ...{ D, E, M, CHUNK, WG, WEIGHTED: featureBias !== undefined },
    },
    bindings: { q, k, v, omega, bias, featureBias, out, lse },
    uniform: { units: B * H, span: H / G, keyHeads: G, tokens: N, scale: Math.sqrt(scale) },
    groups: B * H * Math.ceil(N / CHUNK),
  });
}
