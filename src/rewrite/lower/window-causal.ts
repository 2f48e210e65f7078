/**
 * Causal attention over a sliding window, and the first keys of the text as sinks, in a stream (stream.ts): query i sees
 *
 *   j ≤ i with i − j < window, or j < sinks                                                                exact
 *
 * A cache of bounded size that evicts the oldest: sinks and a window (Xiao et al. 2024, StreamingLLM, positions as the model
 * gives them). For a model trained with full attention it is the baseline to measure others against: what it drops is gone. Where
 * the model's own mask is a sliding window, the window is that one at most and there are no sinks: nothing is approximated, and
 * the cache stops growing. Positions are counted over tokens that the mask shows, as a sliding mask does unless it hides tokens
 * between others.
 *
 * A row keeps window + 31 keys and values, and sinks, of every key head, not of every query head (unless a group of heads is not
 * the whole layer): 4 (window + 31) (D + E) bytes a key head. Queries of heads that share keys are one batch of rows.
 *
 * Cost in key equivalents: window + 31 + sinks.
 */

import type { Builder } from '../../onnx/build.js';
import { type Options, optionsOf, queryBlock } from '../plan-options.js';
import type { Site } from '../site.js';
import { scaledQueries } from './blocks.js';
import { evict } from './eviction.js';
import { softmaxOverParts } from './key-set.js';
import { numberOption } from './lowering.js';
import { rowsAt } from './stream.js';
import { type StreamLowering, scored, sharedStream, withoutCausalCache } from './stream-attention.js';

export const windowCausal: StreamLowering = {
  summary: 'exact over a sliding window and sinks, for causal models: all there is where the mask is such a window',
  ...optionsOf('window-causal'),
  declines(site) {
    const own = site.operands.sliding;
    const known = site.mask.split('+').every((part) => ['sliding', 'causal', 'padding'].includes(part));
    if (site.causal && (!known || (own && own.right > 0)))
      return `it reads causal, sliding and padding masks, and the mask here is ${site.mask}`;
    return withoutCausalCache(site);
  },
  keyEquivalents: (options) => numberOption(options, 'window') + queryBlock - 1 + numberOption(options, 'sinks'),
  stateShape(site, heads, options) {
    const { headDim: D, valueDim: E } = site;
    const { ring, sinks } = sizesAt(site, options);
    const rows = heads === site.heads ? site.kvHeads : heads;
    return { keys: [rows, ring, D], values: [rows, ring, E], globals: [rows, sinks, D + E + 3], sums: [0] };
  },
  lower: (build, inputs, options, constants) =>
    windowCausal.attendStream(build, inputs, { options, constants, streams: new Map() }).context,
  attendStream(build, inputs, given) {
    const { site, heads } = inputs;
    const { headDim: D, valueDim: E } = site;
    const { state } = given;
    const { window, ring, sinks } = sizesAt(site, given.options);
    const shared = inputs.byKeyHead?.();
    const { k, v } = shared ?? inputs;
    const rows = shared ? heads.slice(0, site.kvHeads) : heads;
    const make = sharedStream(build, inputs, { ...given, block: queryBlock, window: ring, sinks, reach: window });
    const [ofQueries, ofKeys] = [make(build, heads.length), make(build, rows.length)];
    const group: Group = { count: ofKeys.count, keyHeads: rows.length, size: heads.length / rows.length };
    const queries = groupRows(build, rowsAt(build, scaledQueries(build, inputs), ofQueries.queries, D), group, D);
    const recent = {
      keys: state ? build.op('Concat', [state.keys, k], { axis: 2 }) : k,
      values: state ? build.op('Concat', [state.values, v], { axis: 2 }) : v,
    };
    const near = (value: string, width: number) =>
      build.op('Reshape', [rowsAt(build, value, ofKeys.window, width), build.int64([0, 0, -1, ring, width])]);
    const seen = ofKeys.once(`seen ${group.size}`, () => repeat(build, ofKeys.seen, group.size));
    const parts = [scored(build, queries, { keys: near(recent.keys, D), values: near(recent.values, E), bias: seen })];
    const options = { window: ring, globals: 0, sinks, codes: 0 };
    const evicted =
      sinks > 0 ? evict(build, ofKeys, { ...given, options, recent, inputs: { site, heads: rows } }) : undefined;
    for (const part of evicted?.parts ?? []) parts.push(scored(build, queries, part));
    const attended = softmaxOverParts(
      build,
      parts.map(({ logits }) => logits),
      (i, weights) => build.op('MatMul', [weights, parts[i].values]),
    );
    return {
      context: rowsAt(build, ungroupRows(build, attended, group, E), ofQueries.results, E),
      state: {
        keys: rowsAt(build, recent.keys, ofKeys.kept, D),
        values: rowsAt(build, recent.values, ofKeys.kept, E),
        globals: evicted?.globals ?? '',
        sums: '',
      },
      length: ofKeys.length,
    };
  },
};

/** The window and sinks of a site, and how many keys a block of queries has before its end. */
function sizesAt({ operands: { sliding } }: Pick<Site, 'operands'>, options: Options) {
  const [most, sinks] = [numberOption(options, 'window'), numberOption(options, 'sinks')];
  const window = sliding ? Math.min(most, sliding.left + 1) : most;
  return { window, ring: window + queryBlock - 1, sinks: sliding ? 0 : sinks };
}

/** `size` query heads to each of `keyHeads`, in n = `count` blocks. */
interface Group {
  readonly count: string;
  readonly keyHeads: number;
  readonly size: number;
}

/** Queries [B,H,n·m] of width D as rows of their key heads: [B,G,n,r·m,D]. */
function groupRows(build: Builder, queries: string, { count, keyHeads, size }: Group, width: number): string {
  const shape = build.op('Concat', [build.int64([0, keyHeads, size]), count, build.int64([-1])], { axis: 0 });
  const heads = build.op('Reshape', [queries, shape]);
  const blocks = size === 1 ? heads : build.op('Transpose', [heads], { perm: [0, 1, 3, 2, 4] });
  return build.op('Reshape', [blocks, blocksOf(build, [0, keyHeads], count, [-1, width])]);
}

/** [B,G,n,r·m,E] → [B,H,n·m,E] */
function ungroupRows(build: Builder, context: string, { count, keyHeads, size }: Group, width: number): string {
  if (size === 1) return context;
  const blocks = build.op('Reshape', [context, blocksOf(build, [0, keyHeads], count, [size, -1])]);
  const heads = build.op('Transpose', [blocks], { perm: [0, 1, 3, 2, 4] });
  return build.op('Reshape', [heads, build.int64([0, keyHeads * size, -1, width])]);
}

function blocksOf(build: Builder, before: readonly number[], count: string, after: readonly number[]): string {
  return build.op('Concat', [build.int64(before), count, build.int64(after)], { axis: 0 });
}

/** [B,1,n,m,w] for each of `size` heads behind one another on the axis of queries. */
function repeat(build: Builder, seen: string, size: number): string {
  return size === 1 ? seen : build.op('Concat', new Array<string>(size).fill(seen), { axis: 3 });
}
