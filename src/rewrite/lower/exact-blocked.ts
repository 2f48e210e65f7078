/**
 * softmax(gain · q·kᵀ + bias) · v, one block of queries at a time in a Scan: the same numbers in O(N) memory, for
 * sites that no linear plan holds and for lengths at which the [N, S] table does not fit.
 *
 * Rows 0 … N − 1 as blocks [n,b] with n = ⌈N/block⌉, b = ⌈N/n⌉ (even blocks: at most n − 1 rows too many) → Scan.
 * The body captures q, kᵀ, v and a bias from outside, and takes the rows of its block of q and of a bias [.,.,N,S]. No tensor of the
 * model goes through the Scan but its result: onnxruntime runs a Scan on the CPU, and its body where the body's nodes are.
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
    const size = { heads: inputs.heads.length, valueDim: site.valueDim };
    return overQueryBlocks(build, q, { ...size, block: numberOption(options, 'block') }, (body, block, rows) =>
      attend(
        body,
        inputs,
        near
          ? { q: body.emit(near.q.steps, block), kT: body.emit(near.k.steps, near.k.base), v, rows }
          : { q: block, kT: inputs.kT(), v, rows },
      ),
    );
  },
};

/** What `attend` makes of queries [B,H,N,D], one block of them [B,H,b,D], of the rows [b], at a time: [B,H,N,E]. */
export function overQueryBlocks(
  build: Builder,
  queries: string,
  given: {
    readonly heads: number;
    readonly valueDim: number;
    /** Queries a block at most. */
    readonly block: number;
  },
  attend: (body: Builder, block: string, rows: string) => string,
): string {
  const { heads, valueDim } = given;
  const tokens = sizeOf(build, queries, 2);
  const blocks = ceilDivide(build, tokens, build.int64([given.block]));
  const rows = ceilDivide(build, tokens, blocks);

  const body = build.body();
  const row = body.fresh('rows');
  const output = attend(body, body.op('Gather', [queries, row], { axis: 2 }), row);
  const graph = makeGraph({
    name: body.fresh('exact_blocked'),
    node: [...body.nodes],
    input: [makeValueInfo(row, int64, [undefined])],
    // Scan asks for the rank of what its body returns and can't always infer it.
    output: [makeValueInfo(output, 1, [undefined, heads, undefined, valueDim])],
  });
  const blocksOut = build.op('Scan', [rowsOf(build, { tokens, blocks, rows })], { body: graph, num_scan_inputs: 1 });
  const context = build.op('Transpose', [blocksOut], { perm: [1, 2, 0, 3, 4] });
  const joined = build.op('Reshape', [context, build.int64([0, 0, -1, valueDim])]);
  return build.op('Slice', [joined, build.int64([0]), tokens, build.int64([2])]);
}

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

/** Which queries are in each block, the last one again where there are no more: int64 [n,b]. */
function rowsOf(build: Builder, { tokens, blocks, rows }: Record<'tokens' | 'blocks' | 'rows', string>): string {
  const scalar = (value: string) => build.op('Reshape', [value, build.int64([], [0])]);
  const end = scalar(build.op('Mul', [blocks, rows]));
  const all = build.op('Range', [build.int64([0], []), end, build.int64([1], [])]);
  const last = build.op('Sub', [tokens, build.int64([1])]);
  const kept = build.op('Where', [build.op('Less', [last, all]), last, all]);
  return build.op('Reshape', [kept, build.op('Concat', [blocks, rows], { axis: 0 })]);
}

/** Length of one axis as an int64 [1]. */
export function sizeOf(build: Builder, value: string, axis: number): string {
  return build.op('Gather', [build.op('Shape', [value]), build.int64([axis])], { axis: 0 });
}

export function ceilDivide(build: Builder, a: string, b: string): string {
  const one = build.int64([1]);
  return build.op('Div', [build.op('Sub', [build.op('Add', [a, b]), one]), b]);
}
