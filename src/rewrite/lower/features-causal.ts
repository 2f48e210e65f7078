/**
 * Causal attention with positive features behind an exact window, in a stream (stream.ts), under one softmax:
 *
 *   the window     x·y of the keys of the query's block of positions and before it                       exact
 *   the features   U_r + L_r, U = Ω_q x − ½|x|²  [M]          value KV_r                                 feature-stages.ts
 *                  L_r  = ln Σ_j exp(A_jr − decay · tokens since j left), A_j = Ω_k y_j − ½|y_j|² + 2b   [M]
 *                  KV_r = Σ_j (the same, over its sum) v_j                                               [M,E]
 *
 * Σ_r exp(U_r + A_jr) is φ(x)·φ(y_j), so that both parts are of one scale and no factor joins them (METHODS F.5). Without a window
 * (`window` 0: Choromanski et al. 2021, causal) the block is scored by features as well, ln φ(x)·φ(y), and is smaller.
 *
 * Ω and b are drawn from a seed, made of the moments of queries and keys (features-constants.ts), or learned: then each side has
 * an Ω of its own, and far mass decays from block to block, by `decay` ≥ 0 a token, as RetNet's does (Sun et al. 2023). What a
 * head has learned to see of the far past stays of the size it has learned on, however long the text.
 *
 * What a call leaves for the next is of constant size (`State`): the window and (KV, L). A feature's mass is kept as its own
 * logarithm, not as sums under some maximum (METHODS H.4): nothing overflows or vanishes, whatever comes later. All blocks of a
 * call are computed together.
 *
 * Cost in key equivalents: window + 2M (M a query, M a key). Without a window every pair of a block takes M exponentials, uncounted,
 * and they lie in memory: 32 M bytes a token and head. Bytes of state a head: 4 (window (D + E) + M (E + 1)), of a block for window 0.
 */

import type { Builder } from '../../onnx/build.js';
import { learned, type Options, optionsOf, queryBlock } from '../plan-options.js';
import { withoutScale } from './balanced.js';
import { reduceOver, unsqueeze } from './blocks.js';
import { drawnBy, gainedSides, keyLogits, queryLogits } from './feature-sides.js';
import { featureStages, type KeyFeatures } from './feature-stages.js';
import { constantName, featureShapes } from './features-constants.js';
import { type Constants, type Inputs, numberOption } from './lowering.js';
import {
  attend,
  type Blocked,
  flip,
  inBlocks,
  notInStream,
  type Part,
  type StreamLowering,
  scored,
} from './stream-attention.js';

/** Positions a block where there is no window: √E or so, where pairs in blocks and features behind them cost alike. */
const featureBlock = 8;

export const featuresCausal: StreamLowering = {
  summary: 'positive features behind an exact window, for causal models trained with them: a state of constant size',
  ...optionsOf('features-causal'),
  declines: (site) => notInStream(site) ?? withoutScale(site),
  keyEquivalents: (options) => numberOption(options, 'window') + 2 * numberOption(options, 'm'),
  constants: (site, options) => featureShapes(site, drawnBy(options)),
  stateShape({ headDim: D, valueDim: E }, heads, options) {
    const { window } = blocksOf(options);
    const m = numberOption(options, 'm');
    return { keys: [heads, window, D], values: [heads, window, E], globals: [0], sums: [heads, m, E + 1] };
  },
  lower: (build, inputs, options, constants) =>
    featuresCausal.attendStream(build, inputs, { options, constants, streams: new Map() }).context,
  attendStream(build, inputs, given) {
    const { options, constants, state } = given;
    const blocked = inBlocks(build, inputs, { ...given, ...blocksOf(options), sinks: 0 });
    const map = mapOf(build, inputs, { options, constants });
    const { stream, queries } = blocked;
    const stages = featureStages(build, blocked, { ...map, inputs, state });
    const own = queryLogits(build, queries, map, 4);
    const near =
      numberOption(options, 'window') > 0
        ? scored(build, queries, { ...blocked.window, bias: stream.seen })
        : pairs(build, own, blocked, map);
    const far: Part = { logits: build.op('Add', [own, flip(build, stages.mass)]), values: stages.values };
    const { context, keys, values } = attend(build, inputs, blocked, [near, far]);
    return { context, state: { keys, values, globals: '', sums: stages.sums }, length: stream.length };
  },
};

function blocksOf(options: Options): { block: number; window: number } {
  const window = numberOption(options, 'window');
  return window > 0 ? { block: queryBlock, window } : { block: featureBlock, window: featureBlock };
}

/** The map with an axis for the blocks. */
interface FeatureSides extends KeyFeatures {
  readonly queryOmega: string; // [H,1,D,M], for queries with `gain` applied
  /** −½ of what |·|² of such a query is to be taken times. */
  readonly queryNorm: number;
}

function mapOf(build: Builder, inputs: Inputs, given: { options: Options; constants: Constants }): FeatureSides {
  const { options, constants } = given;
  const { queryOmega, keyOmega, bias, ...sides } = gainedSides(build, inputs, given);
  const blocked = (value: string) => unsqueeze(build, value, 1);
  const decay = options.map === learned ? constants(constantName(drawnBy(options), 'decay')) : undefined;
  return {
    ...sides,
    queryOmega: blocked(queryOmega),
    keyOmega: blocked(keyOmega),
    bias: bias === undefined ? build.float([-Math.log(sides.m)], []) : blocked(bias),
    decay: decay && build.op('Mul', [decay, build.float([blocksOf(options).block], [])]),
  };
}

/** The keys of a block scored by features: ln Σ_r exp(U_ir + A_jr) [B,H,n,q,b] for every pair. */
function pairs(build: Builder, own: string, { stream, window }: Blocked, map: FeatureSides): Part {
  const keys = flip(build, keyLogits(build, flip(build, window.keys), map, 3));
  const sums = build.op('Add', [unsqueeze(build, own, 4), unsqueeze(build, keys, 3)]);
  const logits = build.op('Reshape', [reduceOver(build, 'ReduceLogSumExp', sums, 5), build.int64([0, 0, 0, 0, -1])]);
  return { logits: build.op('Add', [logits, stream.seen]), values: window.values };
}
