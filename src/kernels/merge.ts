/** Attention over a set of keys from that over its parts: the monoid that makes attention a sum. See merge.wgsl. */
import type { GpuArray } from './array.js';
import { mergeKernel } from './gen/merge.js';
import type { Recording } from './record.js';
import { lanesOf, refuse } from './shape.js';

/** What `attend` gives. */
export interface AttendResult {
  readonly out: GpuArray; // [B,H,N,E], of q's type
  /** f32 [B,H,N]; −3e38 for a query that sees no key, which gets zeros. */
  readonly lse: GpuArray;
}

/** Attention of the same R queries over P sets of keys. */
export interface MergeInput {
  readonly parts: number;
  readonly rows: number;
  readonly E: number;
  readonly pieces: GpuArray; // f32 [P,R,E]
  readonly masses: GpuArray; // f32 [P,R]
  /** One set more, before the others. */
  readonly first?: AttendResult;
  /** Also of no part, of the first part, and so on: out [P+1,R,E], lse [P+1,R]. Default: false. */
  readonly every?: boolean;
}

const WG = 64;

/**
 * Two results of `attend` over disjoint keys as one; the caller frees it.
 *
 * @throws PerformersError PF706 unless both are f32 [R,E] and [R]
 */
export function merge(recording: Recording, a: AttendResult, b: AttendResult): AttendResult {
  const rows = a.lse.length;
  const E = a.out.length / Math.max(1, rows);
  const same = a.out.length === b.out.length && rows === b.lse.length;
  const single = [a, b].flatMap(({ out, lse }) => [out, lse]).every(({ type }) => type === 'f32');
  refuse('merge', [
    rows > 0 && Number.isInteger(E) && E > 0 ? undefined : 'a.out must hold [R,E] for an a.lse of [R]',
    same ? undefined : 'b must hold as many numbers as a',
    single ? undefined : 'all arrays must be f32',
  ]);
  const pieces = recording.scratch('f32', 2 * rows * E);
  const masses = recording.scratch('f32', 2 * rows);
  for (const [index, { out, lse }] of [a, b].entries()) {
    recording.copy(out, pieces, index * rows * E);
    recording.copy(lse, masses, index * rows);
  }
  const result = { out: recording.result('f32', rows * E), lse: recording.result('f32', rows) };
  mergeInto(recording, { parts: 2, rows, E, pieces, masses }, result);
  return result;
}

/** The same for any number of parts, into arrays that are there already. */
export function mergeInto(recording: Recording, input: MergeInput, { out, lse }: AttendResult): void {
  const { parts, rows, E, pieces, masses, first, every = false } = input;
  const { LANES, sums, result } = lanesOf([E], 'f32', out.type);
  recording.dispatch({
    kernel: mergeKernel,
    parameters: { LANES, sums, result, E, WG, FIRST: first !== undefined, EVERY: every },
    bindings: { parts: pieces, masses, first: first?.out, firstMass: first?.lse, out, lse },
    uniform: { rows, parts },
    groups: Math.ceil((rows * E) / LANES / WG),
  });
}
