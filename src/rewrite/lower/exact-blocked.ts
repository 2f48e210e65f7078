/**
 * softmax(gain · q·kᵀ + bias) · v, one block of queries at a time in a Scan: the same numbers in O(N) memory, for
 * sites that no linear plan holds and for lengths at which the [N, S] table does not fit.
 *
 * q [B,H,N,D] → blocks [n,B,H,b,D] with n = ⌈N/block⌉, b = ⌈N/n⌉ (even blocks: at most n − 1 rows of padding) → Scan.
 * The body captures kᵀ, v and a bias from outside; of a bias [.,.,N,S] it reads the rows of its queries.
 */

import type { Builder } from '../../onnx/build.js';
import { hole } from '../../onnx/expr.js';
import { makeGraph, makeValueInfo } from '../../onnx/message.js';
import { optionsOf } from '../plan-options.js';
import type { NearSteps } from '../site.js';
import { attend } from './exact.js';
import { type Inputs, type Lowering, numberOption } from './lowering.js';
import { unmaskedValues } from './masked.js';

const int64 = 7;

export const exactBlocked: Lowering = {
  summary: 'softmax over blocks of queries: exact, memory linear in N',
  ...optionsOf('exact-blocked'),
  keyEquivalents: (_, tokens) => tokens,
  lower(build, inputs, options) {
    const { site } = inputs;
    const v = unmaskedValues(build, inputs);
    const near = nearOf(inputs);
    const q = near?.q.base ?? inputs.q;
    const tokens = sizeOf(build, q, 2);
    const blocks = ceilDivide(build, tokens, build.int64([numberOption(options, 'block')]));
    const rows = ceilDivide(build, tokens, blocks);
    const padded = padRows(build, q, build.op('Sub', [build.op('Mul', [blocks, rows]), tokens]));
    const shape = build.op('Concat', [build.int64([0, 0]), blocks, build.int64([-1, site.headDim])], { axis: 0 });
    const queries = build.op('Transpose', [build.op('Reshape', [padded, shape])], { perm: [2, 0, 1, 3, 4] });

    const body = build.body();
    const block = body.fresh('queries');
    const index = inputs.bias && rowsOf(build, blocks, rows);
    const row = index && body.fresh('rows');
    const output = attend(
      body,
      inputs,
      near
        ? { q: body.emit(near.q.steps, block), kT: body.emit(near.k.steps, near.k.base), v, rows: row }
        : { q: block, kT: inputs.kT(), v, rows: row },
    );
    const graph = makeGraph({
      name: body.fresh('exact_blocked'),
      node: [...body.nodes],
      input: [
        headTensor(block, inputs.heads.length, site.headDim),
        ...(row ? [makeValueInfo(row, int64, [undefined])] : []),
      ],
      output: [headTensor(output, inputs.heads.length, site.valueDim)],
    });
    const scanned = index ? [queries, index] : [queries];
    const blocksOut = build.op('Scan', scanned, { body: graph, num_scan_inputs: scanned.length });
    const context = build.op('Transpose', [blocksOut], { perm: [1, 2, 0, 3, 4] });
    const joined = build.op('Reshape', [context, build.int64([0, 0, -1, site.valueDim])]);
    return build.op('Slice', [joined, build.int64([0]), tokens, build.int64([2])]);
  },
};

/**
 * What the graph does to q and k right before the product is done within the body, where onnxruntime can fold it into
 * the product as it does in the original. Only then is the rounding the same to the last bit, which models that
 * quantise their activations on the way need: they turn one bit into a whole step.
 */
function nearOf({ heads, site }: Inputs): { q: NearSteps; k: NearSteps } | undefined {
  const { near, elemType, q, k } = site.operands;
  if (heads.length !== site.heads || site.kvHeads !== site.heads || elemType !== 1 || q.layout !== 'bhnd')
    return undefined;
  const identity = (value: string): NearSteps => ({ base: value, steps: { value: hole } });
  const [qSide, kSide] = [near?.q ?? ('value' in q.expr ? identity(q.expr.value) : undefined), near?.k];
  const keyKept = kSide ?? (k.layout === 'bhdn' && 'value' in k.expr ? identity(k.expr.value) : undefined);
  return qSide && keyKept ? { q: qSide, k: keyKept } : undefined;
}

/** Declares a float32 [B,H,n,width]: Scan asks for the rank of what its body returns and can't always infer it. */
function headTensor(name: string, heads: number, width: number) {
  return makeValueInfo(name, 1, [undefined, heads, undefined, width]);
}

/** Which queries are in each block: int64 [n,b]. */
function rowsOf(build: Builder, blocks: string, rows: string): string {
  const scalar = (value: string) => build.op('Reshape', [value, build.int64([], [0])]);
  const last = scalar(build.op('Mul', [blocks, rows]));
  const all = build.op('Range', [build.int64([0], []), last, build.int64([1], [])]);
  return build.op('Reshape', [all, build.op('Concat', [blocks, rows], { axis: 0 })]);
}

/** Length of one axis as an int64 [1]. */
export function sizeOf(build: Builder, value: string, axis: number): string {
  return build.op('Gather', [build.op('Shape', [value]), build.int64([axis])], { axis: 0 });
}

export function ceilDivide(build: Builder, a: string, b: string): string {
  const one = build.int64([1]);
  return build.op('Div', [build.op('Sub', [build.op('Add', [a, b]), one]), b]);
}

/** Zero rows after the last of [B,H,N,D]; `count` is an int64 [1]. */
export function padRows(build: Builder, value: string, count: string): string {
  return build.op('Pad', [
    value,
    build.op('Concat', [build.int64([0, 0, 0, 0, 0, 0]), count, build.int64([0])], { axis: 0 }),
  ]);
}
