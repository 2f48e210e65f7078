/**
 * Causal linear attention with positive random features: query i sees keys 0 … i.
 *   O_i = Σ_{j≤i} w_ij v_j / Σ_{j≤i} w_ij,   w_ij = Σ_r exp(ω_r·x_i + ω_r·y_j − |y_j|²/2 + 2b_r)
 *
 * A prompt goes in chunks, all at once: the state of each chunk alone (attend, the keys in parts), the states before each by a scan, what
 * queries have of those (attend, a set of values a chunk), and what they have of their own chunk (causal_pairs). After it one token at a time
 * changes the state in place (decode). The state is a mean and a log mass a feature (METHODS of online softmax: a monoid), so that
 * nothing is ever divided by a small sum, and a prompt cut in two with the state carried is the prompt.
 *
 * Cost of a prompt: 4M(D + E) multiply-adds a token, CHUNK · M exponentials a token, and M(E + 1) numbers of state a chunk and head in memory.
 */
import { type GpuArray, upload } from './array.js';

import {
  checkFeatureAttention,
  type FeatureAttentionInput,
  type FeatureState,
  featureState,
  readFeatures,
} from './double-softmax.js';
import { causalPairsKernel } from './gen/causal-pairs.js';
import { decodeKernel } from './gen/decode.js';
import { scanKernel } from './gen/scan.js';
import type { Gpu } from './gpu.js';
import type { AttendResult } from './merge.js';
import { type Recording, whole } from './record.js';
import { arrayFault, lanesOf, refuse, unread, wholeFault } from './shape.js';

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
  const { B, H, G = H, N, E, M, q, state } = input;
  const given: FeatureAttentionInput = { ...input, S: N };
  checkFeatureAttention(given);
  const rows = B * G * M;
  if (state) checkState('causalAttention', state, rows, E);
  const result = { out: recording.result(q.type, B * H * N * E), lse: recording.result('f32', B * H * N) };
  const parts = Math.ceil(N / CHUNK);
  const chunks = featureState(recording, given, { parts, perPart: CHUNK });
  const before = scan(recording, { rows, parts, E, state }, chunks);
  readFeatures(recording, given, before, result, CHUNK);
  addPairs(recording, given, chunks.bias, result);
  const last = { out: recording.result('f32', rows * E), lse: recording.result('f32', rows) };
  recording.copy({ ...before.out, offset: 4 * parts * rows * E, length: rows * E }, last.out);
  recording.copy({ ...before.lse, offset: 4 * parts * rows, length: rows }, last.lse);
  return { ...result, state: last };
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
  const { B, H, G = H, D, E, M, q, k, v, omega, featureBias, keyBias, scale, state } = input;
  checkFeatureAttention({ ...input, N: 1, S: 1 });
  checkState('decodeStep', state, B * G * M, E);
  refuse('decodeStep', [
    // Two numbers a feature are in workgroup memory.
    wholeFault('M', M, 1, Math.floor(recording.gpu.limits.workgroupBytes / 8)),
    keyBias ? 'a token that is hidden has nothing to add: leave it out instead of keyBias' : undefined,
  ]);
  const out = recording.result(q.type, B * H * E);
  recording.dispatch({
    kernel: decodeKernel,
    parameters: { elem: q.type, D, E, M, WG, WEIGHTED: featureBias !== undefined },
    bindings: {
      ...{ q, k, v, omega, featureBias: featureBias ?? unread(whole(omega)) },
      ...{ kv: state.out, mass: state.lse, out },
    },
    uniform: { units: B * G, span: H / G, keyHeads: G, scale: Math.sqrt(scale) },
    groups: B * G,
  });
  return out;
}

/** States before each chunk and behind the last: [parts + 1,…], in scratch arrays. */
function scan(
  recording: Recording,
  { rows, parts, E, state }: { rows: number; parts: number; E: number; state?: FeatureState },
  chunks: FeatureState,
): FeatureState {
  const before = {
    out: recording.scratch('f32', (parts + 1) * rows * E),
    lse: recording.scratch('f32', (parts + 1) * rows),
  };
  const { LANES, sums } = lanesOf([E], 'f32', 'f32');
  const none = unread(whole(chunks.lse));
  recording.dispatch({
    kernel: scanKernel,
    parameters: { LANES, sums, E, WG, FIRST: state !== undefined },
    bindings: {
      ...{ pieces: chunks.out, masses: chunks.lse, first: state?.out ?? none, firstMass: state?.lse ?? none },
      ...before,
    },
    uniform: { rows, parts },
    groups: Math.ceil((rows * E) / LANES / WG),
  });
  return before;
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
    bindings: { q, k, v, omega, bias, featureBias: featureBias ?? unread(whole(omega)), out, lse },
    uniform: { units: B * H, span: H / G, keyHeads: G, tokens: N, scale: Math.sqrt(scale) },
    groups: B * H * Math.ceil(N / CHUNK),
  });
}

function checkState(kernel: string, { out, lse }: FeatureState, rows: number, E: number): void {
  refuse(kernel, [
    wholeFault('E', E, 1, 256),
    arrayFault('state.out', out, ['f32'], { axes: '[B,G,M,E]', size: [rows, E] }),
    arrayFault('state.lse', lse, ['f32'], { axes: '[B,G,M]', size: [rows] }),
  ]);
}
