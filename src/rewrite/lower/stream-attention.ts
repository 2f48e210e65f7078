/**
 * What lowerings of causal attention in a stream (stream.ts) have in common: queries and keys in their blocks, one softmax over the
 * window and whatever stands for the keys behind it, and the window that the next call begins with.
 */

import type { Builder } from '../../onnx/build.js';
import type { Options } from '../plan-options.js';
import type { Site } from '../site.js';
import { scaledQueries } from './blocks.js';
import { softmaxOverParts } from './key-set.js';
import type { Constants, Inputs, Lowering } from './lowering.js';
import { rowsAt, type Stream, type StreamOf, type StreamOptions, streamOf } from './stream.js';
import type { State, StateShape } from './stream-state.js';

/** A lowering that can go on from what an earlier call left, so that a state takes the place of a key cache (key-state.ts). */
export interface StreamLowering extends Lowering {
  stateShape(site: Site, heads: number, options: Options): StateShape;
  /** `inputs` are the new tokens. */
  attendStream(build: Builder, inputs: Inputs, given: Given): Attended;
}

export function isStreamLowering(lowering: Lowering): lowering is StreamLowering {
  return 'attendStream' in lowering;
}

/** The streams of a model's layers by what their tables depend on. */
export type Streams = Map<string, StreamOf>;

export interface Given {
  readonly options: Options;
  readonly constants: Constants;
  readonly streams: Streams;
  /** Tokens of each row before the call, int64 [B,1], and what they left; absent where calls do not follow each other. */
  readonly before?: string;
  readonly state?: State;
}

/** [B,H,N,E], the state for the next call, and the tokens there were until then, int64 [B,1]. */
export interface Attended {
  readonly context: string;
  readonly state: State;
  readonly length: string;
}

/** Logits [B,H,n,m,p] of the queries of every block, and values [B,H,n,p,E]. */
export interface Part {
  readonly logits: string;
  readonly values: string;
}

/** The new tokens in their blocks. */
export interface Blocked {
  readonly stream: Stream;
  /** [B,H,n,m,D], `gain` applied. */
  readonly queries: string;
  /** The window before the call and the new tokens [B,H,·,D], [B,H,·,E]. */
  readonly recent: { readonly keys: string; readonly values: string };
  /** The keys [B,H,n,w,D] and values [B,H,n,w,E] of every block's window; `stream.seen` hides what a query does not see. */
  readonly window: { readonly keys: string; readonly values: string };
}

export function inBlocks(
  build: Builder,
  inputs: Inputs,
  given: Pick<Given, 'streams' | 'before' | 'state'> & Omit<StreamOptions, 'before'>,
): Blocked {
  const { state, window } = given;
  const { headDim: D, valueDim: E } = inputs.site;
  const stream = sharedStream(build, inputs, given)(build, inputs.heads.length);
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
  return {
    stream,
    queries: split(rowsAt(build, scaledQueries(build, inputs), stream.queries, D), stream.slots, D),
    recent,
    window: { keys: near(recent.keys, D), values: near(recent.values, E) },
  };
}

/** The tables that layers whose plans agree in them have in common. */
export function sharedStream(
  build: Builder,
  inputs: Pick<Inputs, 'q' | 'visible'>,
  { streams, before, block, window, sinks, reach }: Pick<Given, 'streams' | 'before'> & Omit<StreamOptions, 'before'>,
): StreamOf {
  const key = [block, window, sinks, reach].join(' ');
  const make = streams.get(key) ?? streamOf(build, inputs, { block, window, sinks, reach, before });
  streams.set(key, make);
  return make;
}

/** q·k + bias, bias [B or 1,H or 1,n,m or 1,p]. */
export function scored(
  build: Builder,
  queries: string,
  { keys, values, bias }: { readonly keys: string; readonly values: string; readonly bias: string },
): Part {
  return { logits: build.op('Add', [build.op('MatMul', [queries, flip(build, keys)]), bias]), values };
}

/** One softmax over the parts, and the window for the next call. */
export function attend(
  build: Builder,
  { site }: Inputs,
  { stream, recent }: Blocked,
  parts: readonly Part[],
): { context: string; keys: string; values: string } {
  const attended = softmaxOverParts(
    build,
    parts.map(({ logits }) => logits),
    (i, weights) => build.op('MatMul', [weights, parts[i].values]),
  );
  return {
    context: rowsAt(build, attended, stream.results, site.valueDim),
    keys: rowsAt(build, recent.keys, stream.kept, site.headDim),
    values: rowsAt(build, recent.values, stream.kept, site.valueDim),
  };
}

/** Why a site is none for a stream, or undefined when it is. */
export function notInStream(site: Site): string | undefined {
  const known = site.mask === 'causal' || site.mask === 'causal+padding';
  if (site.causal && !known) return `it reads causal and padding masks, and the mask here is ${site.mask}`;
  return withoutCausalCache(site);
}

/** Why a site, whatever its mask, is none for a stream. */
export function withoutCausalCache({ causal, operands }: Site): string | undefined {
  if (!causal) return 'it is for causal attention, and this is not';
  if (operands.cache && ![1, 10].includes(operands.elemType))
    return 'its key cache is neither float32 nor float16: a state has no room in it';
  return operands.aligned || operands.cache ? undefined : 'this site has a key cache that is not joined in plain sight';
}

/** [.,.,.,a,b] → [.,.,.,b,a] */
export function flip(build: Builder, value: string): string {
  return build.op('Transpose', [value], { perm: [0, 1, 2, 4, 3] });
}
