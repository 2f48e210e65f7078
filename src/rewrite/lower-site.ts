/**
 * What takes the place of a site: the lowerings of its groups of heads, joined in the model's order, healed, exact on
 * short inputs; and the caches it gives out.
 */
import type { Builder } from '../onnx/build.js';
import type { NodeProto } from '../onnx/gen/onnx.js';
import { makeValueInfo } from '../onnx/message.js';
import { keepsState } from './assign-plans.js';
import { bindInputs, restoreLayout } from './bind.js';
import { lengthCarrier, lowerWithState } from './key-state.js';
import { exact } from './lower/exact.js';
import type { Constants, Lowering } from './lower/lowering.js';
import { lowerings } from './lower/registry.js';
import type { HeadGroup, SitePlan } from './plan.js';
import type { Site } from './site.js';
import type { SharedState } from './state-row.js';
import { isShort, whenShort } from './when-short.js';

/** New nodes by the value that was computed where they go. */
export function lowerSite(plan: SitePlan, around: Builder, shared: SharedState): Map<string, NodeProto[]> {
  const build = around.body();
  const { site, exactUpTo, spliced } = plan;
  const { context, cache, present } = site.operands;
  const state = keepsState(plan);
  const lowered =
    exactUpTo === undefined || state || spliced
      ? lowerGroups(plan, build, shared)
      : exactWhenShort(build, site, exactUpTo, (branch) => lowerGroups(plan, branch, shared));
  restoreLayout(build, site, lowered);
  if (cache && state) {
    const carrier = around.body();
    lengthCarrier(carrier, site, shared);
    if (cache.begins) return new Map([[context.value, [...carrier.nodes, ...build.nodes]]]);
    // Where the cache was joined: what reads its length may come before the context.
    return new Map([
      [context.value, [...build.nodes]],
      [cache.given.key, [...carrier.nodes]],
      [cache.given.value, []],
    ]);
  }
  for (const { value, expr } of present ?? []) build.rename(build.op('Identity', [build.emit(expr)]), value);
  return new Map([[context.value, [...build.nodes]]]);
}

function lowerGroups(sitePlan: SitePlan, build: Builder, shared: SharedState): string {
  const { site, groups, constants = {}, exactUpTo, spliced } = sitePlan;
  const constantsOf = (group: HeadGroup) => constantsOfGroup(build, sitePlan, group);
  const contexts = keepsState(sitePlan)
    ? lowerWithState(build, sitePlan, { constantsOf, shared })
    : groups.map((group) => {
        if (spliced) return spliced(build, sitePlan, group, constantsOf(group));
        const lowering: Lowering = lowerings[group.plan.name];
        return lowering.lower(build, bindInputs(build, site, group.heads), group.plan.options, constantsOf(group));
      });
  // A kernel decides by itself whether its input is short; what is exact is not healed.
  const heals = constants.gain ?? constants.bias;
  const short = spliced && heals && exactUpTo !== undefined ? isShort(build, site, exactUpTo) : undefined;
  const unlessShort = (value: string, neutral: number) =>
    short === undefined ? value : build.op('Where', [short, build.float([neutral], []), value]);
  const healed = contexts.map((context, i) => {
    const own = constantsOf(groups[i]);
    const scaled = constants.gain ? build.op('Mul', [context, unlessShort(own('gain'), 1)]) : context;
    return constants.bias ? build.op('Add', [scaled, unlessShort(own('bias'), 0)]) : scaled;
  });
  return joinHeads(
    build,
    healed,
    groups.flatMap(({ heads }) => heads),
  );
}

/** The calibrated constants of a group's heads. */
function constantsOfGroup(build: Builder, { site, constants = {} }: SitePlan, { heads, plan }: HeadGroup): Constants {
  const lowering: Lowering = lowerings[plan.name];
  const shapes: Readonly<Record<string, readonly number[]>> = {
    ...lowering.constants?.(site, plan.options),
    gain: [1, 1],
    bias: [1, site.valueDim],
  };
  return (name) => {
    const shape = shapes[name];
    const data = constants[name];
    if (!shape || !data) throw new TypeError(`${plan.name} reads ${name}, which it does not declare or was not given`);
    const size = shape.reduce((a, b) => a * b, 1);
    const own = new Float32Array(heads.length * size);
    for (const [i, head] of heads.entries()) own.set(data.subarray(head * size, (head + 1) * size), i * size);
    return build.float(own, [heads.length, ...shape]);
  };
}

const noConstants = (name: string): never => {
  throw new TypeError(`exact attention has no constant ${name}`);
};

/** `If` the queries are few: exact attention; else what `otherwise` builds. */
function exactWhenShort(build: Builder, site: Site, most: number, otherwise: (branch: Builder) => string): string {
  const all = Array.from({ length: site.heads }, (_, head) => head);
  return whenShort(build, site, most, {
    short: (body) => exact.lower(body, bindInputs(body, site, all), {}, noConstants),
    long: otherwise,
    output: (name) => makeValueInfo(name, 1, [undefined, site.heads, undefined, site.valueDim]),
  });
}

/** Concatenates the groups' heads and puts them back into the model's order. */
function joinHeads(build: Builder, outputs: readonly string[], order: readonly number[]): string {
  const [only, ...more] = outputs;
  if (only !== undefined && more.length === 0) return only;
  const joined = build.op('Concat', outputs, { axis: 1 });
  if (order.every((head, i) => head === i)) return joined;
  const position = order.map((_, head) => order.indexOf(head));
  return build.op('Gather', [joined, build.int64(position)], { axis: 1 });
}
