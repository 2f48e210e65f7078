/**
 * The best g of every prefix of a list of groups, all prefixes at once: prefix j holds what is best in groups 0 … j.
 *
 * Doubling (Hillis and Steele 1986): after round r a group holds the best of the 2ʳ groups up to it, joined next with
 * those of the group 2ʳ before. ⌈log₂ groups⌉ rounds of TopK over 2g elements, in a Loop: what a streaming top-g would
 * have kept at each place, without going there one after the other.
 */
import type { Builder } from '../../onnx/build.js';
import { makeGraph, makeValueInfo } from '../../onnx/message.js';
import { sizeOf } from './exact-blocked.js';

const [float32, int64, bool] = [1, 7, 9];

/** Score of a place that holds nothing. */
export const nothing = -1e30;

/** Scores [B,H,n,g] and what they belong to, int64 [B,H,n,g]. */
export interface Ranked {
  readonly scores: string;
  readonly items: string;
}

export function prefixTop(build: Builder, groups: Ranked, given: { heads: number; size: number }): Ranked {
  const { heads, size } = given;
  const body = build.body();
  const [round, going, scores, items, step] = ['round', 'going', 'scores', 'items', 'step'].map((name) =>
    body.fresh(name),
  );
  /** The groups 2ʳ before, and nothing where there are none. */
  const earlier = (value: string, fill: string) => {
    const count = sizeOf(body, value, 2);
    const kept = body.op('Slice', [value, body.int64([0]), body.op('Sub', [count, step]), body.int64([2])]);
    const shape = body.op('Concat', [sizeOf(body, value, 0), body.int64([heads]), step, body.int64([size])], {
      axis: 0,
    });
    return body.op('Concat', [body.op('Expand', [fill, shape]), kept], { axis: 2 });
  };
  const both = (value: string, fill: string) => body.op('Concat', [value, earlier(value, fill)], { axis: 3 });
  const [best, at = ''] = body.ops('TopK', [both(scores, body.float([nothing], [1])), body.int64([size])], 2, {
    axis: 3,
  });
  const from = body.op('GatherElements', [both(items, body.int64([0])), at], { axis: 3 });
  const on = body.op('Identity', [going]);
  const doubled = body.op('Add', [step, step]);
  const table = [undefined, heads, undefined, size] as const;
  const graph = makeGraph({
    name: body.fresh('prefix_top'),
    node: [...body.nodes],
    input: [
      makeValueInfo(round, int64, []),
      makeValueInfo(going, bool, []),
      makeValueInfo(scores, float32, table),
      makeValueInfo(items, int64, table),
      makeValueInfo(step, int64, [1]),
    ],
    output: [
      makeValueInfo(on, bool, []),
      makeValueInfo(best, float32, table),
      makeValueInfo(from, int64, table),
      makeValueInfo(doubled, int64, [1]),
    ],
  });
  const [kept = '', of = ''] = build.ops(
    'Loop',
    [rounds(build, sizeOf(build, groups.scores, 2)), '', groups.scores, groups.items, build.int64([1])],
    3,
    { body: graph },
  );
  return { scores: kept, items: of };
}

/** ⌈log₂ n⌉ as int64 []: powers of two below n. */
function rounds(build: Builder, count: string): string {
  const powers = build.int64(Array.from({ length: 30 }, (_, i) => 2 ** i));
  const below = build.op('Cast', [build.op('Less', [powers, count])], { to: int64 });
  return build.opset >= 13
    ? build.op('ReduceSum', [below, build.int64([0])], { keepdims: 0 })
    : build.op('ReduceSum', [below], { axes: [0], keepdims: 0 });
}
