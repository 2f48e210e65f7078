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
import type { Builder } from '../../onnx/build.js';
import type { Site } from '../site.js';
import { scaledQueries } from './blocks.js';
import { evict, flip, type Part } from './eviction.js';
import { farConstants, farCost, farRules } from './hybrid.js';
import { softmaxOverParts } from './key-set.js';
import {
  type Constants,
  defaultsOf,
  type Inputs,
  type Lowering,
  numberOption,
  type OptionRule,
  type Options,
  optionReader,
} from './lowering.js';
import { rowsAt, type Stream, type StreamOf, streamOf } from './stream.js';
import { type State, sizes } from './stream-state.js';
import { queryBlock, windowRule } from './window.js';

const rules: Record<string, OptionRule> = {
  window: windowRule,
  ...farRules,
  sinks: { ...farRules.sinks, default: 4 },
  assign: { default: 'keys', valid: (value) => value === 'keys', expected: "'keys'" },
};

export const hybridCausal: Lowering = {
  summary: 'the hybrid for causal models, its state of constant size: linear time; needs calibration',
  defaults: defaultsOf(rules),
  readOptions: optionReader('hybrid-causal', rules),
  declines: notCausal,
  keyEquivalents: (options) => numberOption(options, 'window') + farCost(options),
  constants: farConstants,
  lower: (build, inputs, options, constants) =>
    attendStream(build, inputs, { options, constants, streams: new Map() }).context,
};

function notCausal({ causal, mask, operands }: Site): string | undefined {
  if (!causal) return 'it is for causal attention, and this is not';
  const known = mask === 'causal' || mask === 'causal+padding';
  if (!known) return `it reads causal and padding masks, and the mask here is ${mask}`;
  // Sums of thousands of keys overflow float16, and counts above 2,048 are not exact in it.
  if (operands.cache && operands.elemType !== 1)
    return 'its key cache is not float32, and a state in it would overflow';
  return operands.aligned || operands.cache ? undefined : 'this site has a key cache that is not joined in plain sight';
}

/** The streams of a model's layers by what their tables depend on. */
export type Streams = Map<string, StreamOf>;

interface Given {
  readonly options: Options;
  readonly constants: Constants;
  readonly streams: Streams;
  /** Tokens of each row before the call, int64 [B,1], and what they left; absent where calls do not follow each other. */
  readonly before?: string;
  readonly state?: State;
}

/** [B,H,N,E], and the state for the next call. `inputs` are the new tokens. */
export function attendStream(
  build: Builder,
  inputs: Inputs,
  given: Given,
): { context: string; state: State; stream: Stream } {
  const { options, streams, before, state } = given;
  const { window, sinks, chosen, codes } = sizes(options);
  const { headDim: D, valueDim: E } = inputs.site;
  const heads = inputs.heads.length;
  const key = `${window} ${sinks}`;
  const make = streams.get(key) ?? streamOf(build, inputs, { block: queryBlock, window, sinks, before });
  streams.set(key, make);
  const stream = make(build, heads);
  const recent = {
    keys: state ? build.op('Concat', [state.keys, inputs.k], { axis: 2 }) : inputs.k,
    values: state ? build.op('Concat', [state.values, inputs.v], { axis: 2 }) : inputs.v,
  };
  const split = (value: string, size: string, width: number) => {
    const shape = () =>
      build.op('Concat', [build.int64([0, 0]), stream.count, size, build.int64([width])], { axis: 0 });
    return build.op('Reshape', [value, stream.once(`split ${size} ${width}`, shape)]);
  };
  const near = (value: string, width: number) =>
    split(rowsAt(build, value, stream.window, width), build.int64([window]), width);
  const parts: Part[] = [{ keys: near(recent.keys, D), values: near(recent.values, E), bias: stream.seen }];
  const evicted = chosen + codes > 0 ? evict(build, stream, { ...given, recent, inputs }) : undefined;
  if (evicted) parts.push(...evicted.parts);
  const queries = split(rowsAt(build, scaledQueries(build, inputs), stream.queries, D), stream.slots, D);
  const attended = softmaxOverParts(
    build,
    parts.map(({ keys, bias }) => build.op('Add', [build.op('MatMul', [queries, flip(build, keys)]), bias])),
    (i, weights) => build.op('MatMul', [weights, parts[i].values]),
  );
  return {
    context: rowsAt(build, attended, stream.results, E),
    state: {
      keys: rowsAt(build, recent.keys, stream.kept, D),
      values: rowsAt(build, recent.values, stream.kept, E),
      globals: evicted?.globals ?? '',
      sums: evicted?.sums ?? '',
    },
    stream,
  };
}
