/**
 * The hybrid for causal attention, in a stream (stream.ts): one softmax over
 *
 *   the window       of the query's block of positions and before it, up to the query                       exact
 *   sinks, globals   of the keys evicted from the window, the first `sinks` and those with the highest
 *                    static score k·q₀, as a streaming top-g would have kept them                            exact
 *   summaries        q·k̄_c + log n_c of all other evicted keys by the code of a constant codebook
 *
 * Summaries are running sums over everything evicted, less the keys that are globals at the time: linear, no exponential
 * is ever subtracted. A key has its code from when it was evicted, so that what is taken out is what was put in.
 *
 * What a call leaves for the next is of constant size (`State`): the window, the globals, and the sums. All blocks of a
 * call are computed together.
 *
 * Cost in key equivalents: window + sinks + globals + ½ (static score) + 2.5 codes; sums of globals taken out add
 * codes · (sinks + globals) / block multiply-adds a key, uncounted as in hybrid.ts.
 */
import { optionsOf, queryBlock } from '../plan-options.js';
import { evict } from './eviction.js';
import { farConstants, farCost } from './hybrid.js';
import { numberOption } from './lowering.js';
import { attend, inBlocks, notInStream, type StreamLowering, scored } from './stream-attention.js';
import { sizes, stateShape } from './stream-state.js';

export const hybridCausal: StreamLowering = {
  summary: 'the hybrid for causal models, its state of constant size: linear time; needs calibration',
  ...optionsOf('hybrid-causal'),
  declines: notInStream,
  keyEquivalents: (options) => numberOption(options, 'window') + farCost(options),
  constants: farConstants,
  stateShape,
  lower: (build, inputs, options, constants) =>
    hybridCausal.attendStream(build, inputs, { options, constants, streams: new Map() }).context,
  attendStream(build, inputs, given) {
    const { window, sinks, chosen, codes } = sizes(given.options);
    const blocked = inBlocks(build, inputs, { ...given, block: queryBlock, window, sinks });
    const { stream, queries, recent } = blocked;
    const parts = [scored(build, queries, { ...blocked.window, bias: stream.seen })];
    const evicted = chosen + codes > 0 ? evict(build, stream, { ...given, recent, inputs }) : undefined;
    if (evicted) parts.push(...evicted.parts.map((part) => scored(build, queries, part)));
    const { context, keys, values } = attend(build, inputs, blocked, parts);
    return {
      context,
      state: { keys, values, globals: evicted?.globals ?? '', sums: evicted?.sums ?? '' },
      length: stream.length,
    };
  },
};
