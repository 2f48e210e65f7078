/**
 * One softmax over a window, a few global keys and summaries of all the rest: what holds a pre-trained model's own
 * answers in linear time without training.
 *
 *   logits = [ q·k_j              for the `window` keys around the query's block                          exact
 *            | q·k_j              for the `sinks` first keys and the `globals` with the highest k_j·q₀      exact
 *            | q·k̄_c + log n_c    for the codes of a constant codebook, over all remaining keys ]           summaries
 *
 * q₀ and the codebook are constants of the head, from calibration (calibrate/). Every key counts once. Cost in key
 * equivalents: window + sinks + globals + ½ (static score) + 2.5 codes (assignment ½, sums 1, reading 1; 3 codes where
 * values take part in the assignment), and what it takes to leave the window out of the sums: adding up the sums of the
 * units (the largest pieces that blocks and halo are whole numbers of) in it. This lowering takes the window out of scores and
 * weights instead (key-set.ts), 2 · codes · window / (D + E) in their place for less memory traffic: faster wherever it was
 * timed, and not counted.
 */

import type { Builder } from '../../onnx/build.js';
import { type Options, optionsOf, queryBlock } from '../plan-options.js';
import type { Site } from '../site.js';
import { type Blocks, greatestDivisor, sequenceBlocks } from './blocks.js';
import { type Codebook, summarize } from './far-field.js';
import {
  attendKeySets,
  joinKeys,
  joinNear,
  type KeyPart,
  type Keys,
  keysByHead,
  type Near,
  type Pooled,
  windowOf,
} from './key-set.js';
import { type Constants, type Inputs, type Lowering, numberOption } from './lowering.js';
import { scoredGlobals } from './scored-globals.js';
import { notAround } from './window.js';

export const hybrid: Lowering = {
  summary: 'window, scored globals and codebook summaries under one softmax: linear time; needs calibration',
  ...optionsOf('hybrid'),
  declines: notAround,
  constants: farConstants,
  keyEquivalents(options) {
    const window = numberOption(options, 'window');
    const units = window / greatestDivisor(queryBlock, (window - queryBlock) / 2);
    return nearCost(window, units, queryBlock, options) + farCost(options);
  },
  lower(build, inputs, options, constants) {
    const blocks = sequenceBlocks(build, inputs, { block: queryBlock, window: numberOption(options, 'window') });
    return attendHybrid(build, inputs, { blocks, all: keysByHead(build, inputs), options, constants });
  },
};

/** What globals and codebook read of a head, and its shape. */
export function farConstants(
  { headDim, valueDim }: Site,
  options: Options,
): Readonly<Record<string, readonly number[]>> {
  const { globals, codes, steps } = counts(options);
  const pairs = options.assign === 'pairs';
  const width = pairs ? headDim + valueDim : headDim;
  return {
    ...(globals > 0 && { query: [headDim, 1] }),
    ...(codes > 0 && {
      [`${codebookName(options)}.weights`]: [width, codes],
      [`${codebookName(options)}.offsets`]: [1, codes],
      ...(steps > 0 && { [`${options.assign}.metric`]: [headDim, headDim] }),
      ...(steps > 0 && pairs && { [`${options.assign}.valueWeight`]: [1, 1] }),
    }),
  };
}

/** Key equivalents of a window of so many keys: reading them, and leaving them out by adding up so many sums of units. */
export function nearCost(window: number, units: number, block: number, options: Options): number {
  return window + (window > block ? (counts(options).codes * units) / block : 0);
}

/** Key equivalents of everything else. */
export function farCost(options: Options): number {
  const { globals, sinks, codes, steps } = counts(options);
  // A step of k-means assigns and sums once more.
  const aCode = options.assign === 'pairs' ? 3 + 2 * steps : 2.5 + 1.5 * steps;
  return globals + sinks + (globals > 0 ? 0.5 : 0) + aCode * codes;
}

/** The window of `blocks`, globals and summaries; `fixed` are further keys for every block, `keep` and `pool` give each more of its own. */
export function attendHybrid(
  build: Builder,
  inputs: Inputs,
  given: {
    readonly blocks: Blocks;
    readonly all: Keys;
    readonly options: Options;
    readonly constants: Constants;
    readonly fixed?: Keys;
    readonly keep?: (rest: Keys) => Near;
    readonly pool?: (rest: Keys) => Pooled;
  },
): string {
  const { blocks, all, options, constants, fixed, keep, pool } = given;
  const { globals, sinks, codes } = counts(options);
  const query = globals > 0 ? constants('query') : undefined;
  const { chosen, rest } = scoredGlobals(build, inputs, all, { query, globals, sinks });
  const window = windowOf(build, blocks, rest);
  const near = keep ? joinNear(build, window, keep(rest)) : window;
  const pooled = pool?.(rest);
  const parts: KeyPart[] = [{ ...near, shared: false }];
  if (pooled) parts.push(pooled);
  // As one part: what is shared is few keys, and every part writes a context of all queries.
  const everywhere = fixed && chosen ? joinKeys(build, fixed, chosen) : (fixed ?? chosen);
  if (everywhere) parts.push({ ...everywhere, shared: true });
  const summaries =
    codes > 0
      ? summarize(build, inputs, { near, pooled, rest, codebook: codebook(options, constants), count: codes })
      : undefined;
  return attendKeySets(build, inputs, blocks, parts, summaries);
}

function counts(options: Options) {
  return {
    globals: numberOption(options, 'globals'),
    sinks: numberOption(options, 'sinks'),
    codes: numberOption(options, 'codes'),
    // Of the hybrid for images alone: its codes are worth moving (QUALITY, VISION).
    steps: Number(options.steps ?? 0),
  };
}

/** Codebooks of one head differ in size and in what they look at. */
function codebookName(options: Options): string {
  return `${options.assign}${options.codes}`;
}

/** The codebook of a plan with codes. */
export function codebook(options: Options, constants: Constants): Codebook {
  const name = codebookName(options);
  const { steps } = counts(options);
  const pairs = options.assign === 'pairs';
  const moved = () => ({
    steps,
    metric: constants(`${options.assign}.metric`),
    ...(pairs && { valueWeight: constants(`${options.assign}.valueWeight`) }),
  });
  return {
    weights: constants(`${name}.weights`),
    offsets: constants(`${name}.offsets`),
    onValues: pairs,
    ...(steps > 0 && { moved: moved() }),
  };
}
