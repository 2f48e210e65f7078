/**
 * An associative join over every prefix of a list of groups, all prefixes at once: prefix j joins groups 0 … j.
 *
 * Doubling (Hillis and Steele 1986): after round r a group holds the join of the 2ʳ groups up to it, joined next with that of
 * the group 2ʳ before. ⌈log₂ groups⌉ rounds in a Loop: what going from one to the next would have given, without going.
 */
import type { Builder } from '../../onnx/build.js';
import { makeGraph, makeValueInfo } from '../../onnx/message.js';
import { sizeOf } from './exact-blocked.js';

const [int64, bool] = [7, 9];

/** A tensor [B,H,n,…] with n groups. */
export interface Grouped {
  readonly value: string;
  readonly type: number;
  /** Sizes behind the axis of the groups. */
  readonly dims: readonly number[];
  /** What a group that is not there holds: a value that expands to `dims`. */
  readonly fill: string;
}

/**
 * Prefixes of `groups`, in their order. `join` gives what two neighbouring runs of groups are together; `step` int64 [1] is how
 * many groups the later run has, the earlier one having as many or fewer.
 */
export function prefixScan(
  build: Builder,
  groups: readonly Grouped[],
  given: {
    readonly heads: number;
    readonly join: (body: Builder, later: readonly string[], earlier: readonly string[], step: string) => string[];
  },
): string[] {
  const { heads, join } = given;
  const body = build.body();
  const [round, going, step] = ['round', 'going', 'step'].map((name) => body.fresh(name));
  const carried = groups.map(() => body.fresh('groups'));
  /** The groups 2ʳ before, and nothing where there are none. */
  const earlier = carried.map((value, i) => {
    const { fill, dims } = groups[i];
    const kept = body.op('Slice', [
      value,
      body.int64([0]),
      body.op('Sub', [sizeOf(body, value, 2), step]),
      body.int64([2]),
    ]);
    const shape = body.op('Concat', [sizeOf(body, value, 0), body.int64([heads]), step, body.int64(dims)], { axis: 0 });
    return body.op('Concat', [body.op('Expand', [fill, shape]), kept], { axis: 2 });
  });
  const joined = join(body, carried, earlier, step);
  const on = body.op('Identity', [going]);
  const doubled = body.op('Add', [step, step]);
  const infos = (names: readonly string[]) =>
    names.map((name, i) => makeValueInfo(name, groups[i].type, [undefined, heads, undefined, ...groups[i].dims]));
  const graph = makeGraph({
    name: body.fresh('prefix_scan'),
    node: [...body.nodes],
    input: [
      makeValueInfo(round, int64, []),
      makeValueInfo(going, bool, []),
      ...infos(carried),
      makeValueInfo(step, int64, [1]),
    ],
    output: [makeValueInfo(on, bool, []), ...infos(joined), makeValueInfo(doubled, int64, [1])],
  });
  const outputs = build.ops(
    'Loop',
    [rounds(build, sizeOf(build, groups[0].value, 2)), '', ...groups.map(({ value }) => value), build.int64([1])],
    groups.length + 1,
    { body: graph },
  );
  return outputs.slice(0, groups.length);
}

/** ⌈log₂ n⌉ as int64 []: powers of two below n. */
function rounds(build: Builder, count: string): string {
  const powers = build.int64(Array.from({ length: 30 }, (_, i) => 2 ** i));
  const below = build.op('Cast', [build.op('Less', [powers, count])], { to: int64 });
  return build.opset >= 13
    ? build.op('ReduceSum', [below, build.int64([0])], { keepdims: 0 })
    : build.op('ReduceSum', [below], { axes: [0], keepdims: 0 });
}
