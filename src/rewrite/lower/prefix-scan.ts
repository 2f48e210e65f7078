/**
 * An associative join over every prefix of a list of n groups, all prefixes at once: prefix j joins groups 0 … j.
 *
 * In two levels (Blelloch 1990), neighbours in R = ⌈n/16⌉ runs of r = ⌈n/R⌉ groups:
 *
 *   total    of every run, what its groups are together
 *   before   every run, what the totals of the runs before it are together
 *   prefix   of group i of a run, what is before the run and its groups 0 … i are together
 *
 * Each is one join of few groups for many places, by attention-like operators that take all places at once: no loop, whose tensors
 * onnxruntime takes off a GPU in every round. Elements joined: n (r + n / r²).
 */
import type { Builder, MadeOnce } from '../../onnx/build.js';
import { counting } from './blocks.js';
import { ceilDivide } from './exact-blocked.js';

const float32 = 1;
const mostInRun = 16;

/** The score, or logarithm of a mass, of what is not there. */
export const nothing = -1e30;

/** Below it whatever is added to: of a state in halves (halves.ts) scores are read that are as large as 6.5e30. */
const behind = -1e38;

/** A tensor [B,H,n,…] with n groups. */
export interface Grouped {
  readonly value: string;
  /** Sizes behind the axis of the groups. */
  readonly dims: readonly number[];
}

/** Which of k groups are together at each of p places. */
export interface Places {
  /** float32 [p,k], to be added: a group that is not comes below `nothing`. No truth values, which onnxruntime cannot transpose on a GPU. */
  readonly hidden: string;
  /** float32 [p,k]: how many groups lie from the end of a group to that of the place. */
  distance(): string;
}

/** What groups [B,H,X,k,…] are together at each of p places: [B,H,X,p,…]. */
export type Join = (groups: readonly string[], places: Places) => string[];

/** Tables of a scan, which depend on n alone. */
export interface Runs {
  /** n, int64 [1]. */
  readonly count: string;
  /** Groups of every run, int64 [R,r]; behind the last group that one again, which no prefix reads. */
  readonly groups: string;
  readonly total: Places;
  readonly before: Places;
  readonly prefix: Places;
}

/** The runs of `count` groups, int64 [1]. */
export function runsOf(build: Builder, once: MadeOnce, count: string): Runs {
  const [zero, one] = [build.int64([0]), build.int64([1])];
  const op = (type: string, ...values: string[]) => build.op(type, values);
  const runs = ceilDivide(build, count, build.int64([mostInRun]));
  const size = ceilDivide(build, count, runs);
  const column = (value: string) => build.op('Reshape', [value, build.int64([-1, 1])]);
  const [own, all] = [counting(build, size), counting(build, runs)];
  const group = op('Add', op('Mul', column(all), size), own);
  const last = op('Sub', count, one);
  const places = (name: string, distance: string): Places => ({
    hidden: op('Where', op('Less', distance, zero), build.float([behind], []), build.float([0], [])),
    distance: () => once(`distance ${name}`, () => build.op('Cast', [distance], { to: float32 })),
  });
  const ahead = counting(build, op('Add', size, one));
  return {
    count,
    groups: op('Where', op('Less', last, group), last, group),
    // One place a run: [r] is [1,r].
    total: places('total', build.op('Reshape', [op('Sub', op('Sub', size, one), own), build.int64([1, -1])])),
    before: places('before', op('Mul', op('Sub', op('Sub', column(all), one), all), size)),
    prefix: places('prefix', op('Sub', op('Add', column(own), one), ahead)),
  };
}

/** Prefixes of `groups`, in their order. */
export function prefixScan(
  build: Builder,
  groups: readonly Grouped[],
  { runs, join }: { runs: Runs; join: Join },
): string[] {
  const shaped = (values: readonly string[], lead: readonly number[]) =>
    values.map((value, i) => build.op('Reshape', [value, build.int64([...lead, ...groups[i].dims])]));
  const own = groups.map(({ value }) => build.op('Gather', [value, runs.groups], { axis: 2 }));
  const totals = shaped(join(own, runs.total), [0, 0, 1, -1]);
  const before = shaped(join(totals, runs.before), [0, 0, -1, 1]);
  const all = own.map((value, i) => build.op('Concat', [before[i], value], { axis: 3 }));
  return shaped(join(all, runs.prefix), [0, 0, -1]).map((value) =>
    build.op('Slice', [value, build.int64([0]), runs.count, build.int64([2])]),
  );
}
