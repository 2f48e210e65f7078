/** What `attend` is asked, and whether it can be answered. */
import type { GpuArray } from './array.js';
import { layerFaults, refuse, wholeFault } from './shape.js';

interface AttendShape {
  readonly B: number;
  /** Query heads, a multiple of G. */
  readonly H: number;
  /** Key heads; H / G query heads share one. Default: H. */
  readonly G?: number;
  readonly N: number;
  readonly S: number;
  /** 1 to 256, any of them; multiples of 4 are read four at a time. */
  readonly D: number;
  readonly E: number;
}

export interface AttendInput extends AttendShape {
  readonly q: GpuArray; // [B,H,N,D], or [H,N,D] for all of the batch; f32 or f16
  readonly k: GpuArray; // [B,G,S,D] or [G,S,D]
  readonly v: GpuArray; // [B,G,S,E]
  readonly scale: number;
  /** f32, added to the scores of a key: [B,S] for all heads, or [B,G,S]. −Infinity (or below −1e30) hides the key. Default: none. */
  readonly bias?: GpuArray;
  /** The query at position p sees the keys of a band. Default: all. */
  readonly band?: Band;
  /** Queries see the keys of listed blocks alone. Default: all. */
  readonly list?: BlockList;
}

/** Queries [p, p + block) see keys from `before` before them to `after` behind; `causal` ones none behind their own position. */
export interface Band {
  /** Default: 1. */
  readonly block?: number;
  /** Default: all. */
  readonly before?: number;
  /** Default: all. */
  readonly after?: number;
  /** Default: false. */
  readonly causal?: boolean;
  /** Position among the keys of query 0. Default: S − N, the queries being the last of the sequence. */
  readonly offset?: number;
}

export interface BlockList {
  /** A power of two of at most 64. */
  readonly queryBlock: number;
  /** A power of two of at least 4. */
  readonly keyBlock: number;
  /** For every block of queries: how many blocks of keys, then which, then anything. u32 [B,H,⌈N/queryBlock⌉,stride]. */
  readonly blocks: GpuArray;
  /** 1 + the most blocks a list may hold. */
  readonly stride: number;
  /**
   * Of lists made on the device (select-blocks.ts): only blocks of queries with something in their list are attended. `blocks` goes on with
   * a queue of them behind the lists, and `groups` [3] is how many workgroups that takes. All other rows are written by who made the lists.
   */
  readonly queue?: { readonly groups: GpuArray };
}

/** More than any sequence is long, and far from overflow when added to. */
export const UNBOUNDED = 2 ** 29;

export const attendShapes = {
  q: 'elem B,H,N,D H,N,D',
  k: 'elem B,G,S,D G,S,D',
  v: 'elem B,G,S,E',
  bias: 'f32 B,S B,G,S',
  blocks: 'u32 B,H,⌈N/queryBlock⌉,stride',
  out: 'elem B,H,N,E',
  lse: 'f32 B,H,N',
};

/** What the shapes are of: with the arrays and sizes of the list. */
export function withList<Input extends AttendInput>(input: Input) {
  const { N, list } = input;
  return { ...input, ...list, '⌈N/queryBlock⌉': Math.ceil(N / (list?.queryBlock ?? N)) };
}

/** @throws PerformersError PF706 */
export function checkAttend(input: AttendInput): void {
  const { scale, band = {}, list } = input;
  refuse('attend', [
    ...layerFaults(withList(input), attendShapes),
    Number.isFinite(scale) ? undefined : `scale must be a number, got ${scale}`,
    wholeFault('band.block', band.block ?? 1, 1, UNBOUNDED),
    wholeFault('band.before', band.before ?? 0, 0, UNBOUNDED),
    wholeFault('band.after', band.after ?? 0, 0, UNBOUNDED),
    wholeFault('band.offset', band.offset ?? 0, -UNBOUNDED, UNBOUNDED),
    list && ![1, 2, 4, 8, 16, 32, 64].includes(list.queryBlock)
      ? 'list.queryBlock must be a power of two up to 64'
      : undefined,
    list && (list.keyBlock < 4 || Math.log2(list.keyBlock) % 1 !== 0)
      ? 'list.keyBlock must be a power of two from 4'
      : undefined,
  ]);
}
