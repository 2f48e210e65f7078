/**
 * The hybrid (hybrid.ts) with what retrieval heads need beside it: for every block of queries, those blocks of keys that it attends most,
 * by an estimate of every score in few bits (SALE, Ji et al. 2025, arXiv 2505.24179).
 *
 *   s̃_ij = a c_j ⟨q̃_i, k̃_j⟩               x̃ = round(x / a), a = max |x| / 7 over a block of queries: whole numbers of 4 bits;
 *                                           k̃ likewise of k_j − k̄, a key at a time; k̄ the mean of the keys that are not masked, which
 *                                           all scores of a query have in common
 *   kept by a block of queries              the `blocks` blocks of `keyBlock` keys with the largest s̃_ij in them, i any of its queries,
 *                                           j neither in its window nor a global
 *
 * Kept keys are exact, under the one softmax, and in no summary. Everything is linear in the tokens but the estimate: N · S · D products of
 * whole numbers, an eighth of the bits of one side of exact attention, and their largest by key. Cost in key equivalents: as the hybrid,
 * the keys kept, and S / 16 for the estimate. onnxruntime multiplies in 8 bits on a processor, so that in a graph it costs more than that; a
 * block of queries at a time in a Scan, so that memory stays linear. For processors and WebAssembly: on WebGPU onnxruntime has no products
 * of whole numbers, and the estimate leaves it.
 */
import type { Builder } from '../../onnx/build.js';
import { makeGraph, makeValueInfo } from '../../onnx/message.js';
import { type Options, optionsOf, queryBlock } from '../plan-options.js';
import { counting, padRows, reduceOver, scaledQueries, sequenceBlocks } from './blocks.js';
import { ceilDivide, sizeOf } from './exact-blocked.js';
import { meanOverKeys } from './far-field.js';
import { attendHybrid, farConstants, farCost, nearCost } from './hybrid.js';
import { excluded, type Keys, keysByHead, type Near } from './key-set.js';
import { type Inputs, type Lowering, numberOption } from './lowering.js';
import { rowsOfHeads } from './scored-globals.js';
import { notAround } from './window.js';

/** Keys that are kept together; what QUALITY found best. */
export const keyBlock = 8;
/** The largest number of 4 bits with a sign of its own. */
export const largest = 7;
const zeroPoint = largest + 1;
const [float32, uint8, int8, int64] = [1, 2, 3, 7];

export const keptBlocks: Lowering = {
  summary:
    'the hybrid and, for each block of queries, the blocks of keys it attends most by a 4-bit estimate; needs calibration',
  ...optionsOf('blocks'),
  declines: notAround,
  constants: farConstants,
  keyEquivalents(options, tokens) {
    const window = numberOption(options, 'window');
    const kept = keyBlock * numberOption(options, 'blocks');
    return nearCost(window, window / keyBlock, queryBlock, options) + kept + tokens / 16 + farCost(options);
  },
  lower(build, inputs, options, constants) {
    const blocks = sequenceBlocks(build, inputs, { block: queryBlock, window: numberOption(options, 'window') });
    const keep = (rest: Keys) => keptNear(build, inputs, { rest, options });
    return attendHybrid(build, inputs, { blocks, all: keysByHead(build, inputs), options, constants, keep });
  },
};

/** The keys that every block of queries keeps. */
function keptNear(build: Builder, inputs: Inputs, { rest, options }: { rest: Keys; options: Options }): Near {
  const { headDim, valueDim } = inputs.site;
  const tokens = sizeOf(build, rest.keys, 2);
  const count = ceilDivide(build, tokens, build.int64([keyBlock]));
  // One block more than there are: where fewer are left than may be kept, the rest are that one, which holds no key.
  const padded = build.op('Mul', [build.op('Add', [count, build.int64([1])]), build.int64([keyBlock])]);
  const padding = build.op('Sub', [padded, tokens]);
  const pad = (value: string, filler = 0) => padRows(build, value, padding, { filler });
  const most = numberOption(options, 'blocks');
  const kept = largestBlocks(build, inputs, { bias: pad(rest.bias, 2 * excluded), pad, count, most, options });
  const index = build.op('Reshape', [kept, build.int64([0, 0, -1, 1])]);
  const fetch = (value: string, width: number) => {
    const whole = build.op('Reshape', [value, build.int64([0, 0, -1, keyBlock * width])]);
    const rows = rowsOfHeads(build, whole, index, keyBlock * width);
    return build.op('Reshape', [rows, build.int64([0, 0, -1, most * keyBlock, width])]);
  };
  return {
    keys: fetch(pad(rest.keys), headDim),
    values: fetch(pad(rest.values), valueDim),
    bias: fetch(pad(rest.bias, 2 * excluded), 1),
    shares: (value, width) => fetch(pad(value), width),
  };
}

/** Which blocks of keys each block of queries keeps: int64 [B,H,n,t], the number of blocks where there is none. */
function largestBlocks(
  build: Builder,
  inputs: Inputs,
  given: {
    /** [B,H,S',1], S' a multiple of `keyBlock` and longer than the sequence. */
    readonly bias: string;
    readonly pad: (value: string) => string;
    readonly count: string;
    readonly most: number;
    readonly options: Options;
  },
): string {
  const { bias, pad, count, most, options } = given;
  const keys = inFourBits(build, pad(build.op('Sub', [inputs.k, meanOverKeys(build, inputs, inputs.k)])), [3]);
  const places = counting(build, build.op('Add', [count, build.int64([1])]));
  const queries = inFourBits(build, repeatedToBlocks(build, inputs), [3, 4]);

  // Keys are the rows: onnxruntime packs the other side anew for every product, and that is the small one here. Without a sign, from 8 as
  // their 0 on: its products of signed with signed numbers take sixteen times as long.
  const lifted = build.op('Add', [keys.whole, build.float([zeroPoint], [])]);
  const rows = build.op('Cast', [lifted], { to: uint8 });
  const flipped = build.op('Transpose', [queries.whole], { perm: [0, 1, 2, 4, 3] });
  const columns = build.op('Cast', [flipped], { to: int8 });

  const body = build.body();
  const at = body.fresh('block');
  const zero = body.op('Cast', [body.int64([zeroPoint], [])], { to: uint8 });
  const products = body.op('MatMulInteger', [rows, body.op('Gather', [columns, at], { axis: 2 }), zero]);
  // Steps are no less than 0, so that the largest product is that of the largest estimate.
  const best = body.op('Cast', [reduceOver(body, 'ReduceMax', products, 3)], { to: float32 });
  const step = body.op('Mul', [keys.step, body.op('Gather', [queries.step, at], { axis: 2 })]);
  const estimate = body.op('Add', [body.op('Mul', [best, step]), bias]);
  const byBlock = body.op('Reshape', [estimate, body.int64([0, 0, -1, keyBlock])]);
  const largestOf = body.op('Reshape', [reduceOver(body, 'ReduceMax', byBlock, 3), body.int64([0, 0, -1])]);
  // Blocks and halo are whole blocks of keys, and so is the window.
  const reach = (numberOption(options, 'window') - queryBlock) / 2 / keyBlock;
  const first = body.op('Sub', [
    body.op('Mul', [at, body.int64([queryBlock / keyBlock], [])]),
    body.int64([reach], []),
  ]);
  const end = body.op('Add', [first, body.int64([queryBlock / keyBlock + 2 * reach], [])]);
  const inWindow = body.op('And', [
    body.op('Less', [body.op('Sub', [first, body.int64([1], [])]), places]),
    body.op('Less', [places, end]),
  ]);
  const left = body.op('Where', [inWindow, body.float([2 * excluded], []), largestOf]);
  // There are as many to choose from as may be kept.
  const filler = body.op('Expand', [
    body.float([2 * excluded], [1, 1, 1]),
    body.op(
      'Concat',
      [body.op('Slice', [body.op('Shape', [left]), body.int64([0]), body.int64([2])]), body.int64([most])],
      { axis: 0 },
    ),
  ]);
  const [score = '', chosen = ''] = body.ops(
    'TopK',
    [body.op('Concat', [left, filler], { axis: 2 }), body.int64([most])],
    2,
    { axis: 2 },
  );
  const none = body.op('Less', [score, body.float([excluded / 2], [])]);
  const output = body.op('Where', [none, count, chosen]);
  const graph = makeGraph({
    name: body.fresh('kept_blocks'),
    node: [...body.nodes],
    input: [makeValueInfo(at, int64, [])],
    output: [makeValueInfo(output, int64, [undefined, inputs.heads.length, most])],
  });
  const all = build.op('Scan', [counting(build, sizeOf(build, columns, 2))], { body: graph, num_scan_inputs: 1 });
  return build.op('Transpose', [all], { perm: [1, 2, 0, 3] });
}

/** Queries [B,H,N,D] in blocks [B,H,n,b,D]. The last one fills its block up: that changes no maximum over a block. */
function repeatedToBlocks(build: Builder, inputs: Inputs): string {
  const x = scaledQueries(build, inputs);
  const tokens = sizeOf(build, x, 2);
  const whole = build.op('Mul', [ceilDivide(build, tokens, build.int64([queryBlock])), build.int64([queryBlock])]);
  const padded = padRows(build, x, build.op('Sub', [whole, tokens]), { mode: 'edge' });
  return build.op('Reshape', [padded, build.int64([0, 0, -1, queryBlock, inputs.site.headDim])]);
}

/** Whole numbers of 4 bits, still in float32, and what they stand for, one step for all over the last `axes`, which it has as 1. */
function inFourBits(build: Builder, rows: string, axes: readonly number[]): { whole: string; step: string } {
  const most = [...axes]
    .reverse()
    .reduce((value, axis) => reduceOver(build, 'ReduceMax', value, axis), build.op('Abs', [rows]));
  const step = build.op('Max', [build.op('Div', [most, build.float([largest], [])]), build.float([1e-30], [])]);
  return { whole: build.op('Round', [build.op('Div', [rows, step])]), step };
}
