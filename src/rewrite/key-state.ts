/**
 * A key cache of constant size, for an unmodified generate(): the graph takes in and gives out what it did, under the same
 * names, with another content.
 *
 *   past.key, present.key       [B,1,P,0]: no bytes, only the number of tokens, which is what the rest of the graph and
 *                               the caller read of a cache
 *   past.value, present.value   [B,G,R,E]: the state of every linear head (lower/stream-state.ts), behind it the keys
 *                               and values of key heads that some exact head reads, which go on growing
 *
 * A row of the batch is one list of numbers, cut into G·E so that every axis but the rows is what it was: callers that
 * make the first, empty cache from the declared sizes make one that fits, callers that reorder rows for beam search do.
 *
 * state-row.ts says what is where in it.
 */
import type { Builder } from '../onnx/build.js';
import { bindInputs } from './bind.js';
import { attendKept, withFresh } from './kept-keys.js';
import { sizeOf } from './lower/exact-blocked.js';
import type { Constants } from './lower/lowering.js';
import type { HeadGroup, SitePlan } from './plan.js';
import type { Site } from './site.js';
import { namesGiven } from './state-interface.js';
import { emptyPast, pack, rowOf, type SharedState, streamOf, typed, unpack } from './state-row.js';

/** Contexts of the groups in their order; gives out the state. `constantsOf` are those of a group. */
export function lowerWithState(
  build: Builder,
  { site, groups }: SitePlan,
  { constantsOf, shared }: { constantsOf: (group: HeadGroup) => Constants; shared: SharedState },
): string[] {
  const { cache } = site.operands;
  if (!cache) throw new TypeError(`site ${site.output} has no cache`);
  const fresh: Site = {
    ...site,
    operands: { ...site.operands, k: cache.k, v: cache.v, keyBias: cache.keyBias, bias: undefined, near: undefined },
  };
  const row = rowOf({ site, groups });
  const past = cache.begins ? emptyPast(build, fresh, cache.given, shared) : cache.past;
  const before = unpack(build, fresh, { cache, past, row, shared });
  const parts: string[] = [];
  const contexts: string[] = [];
  let length = '';
  let next = 0;
  const kept = before.kept && withFresh(build, fresh, { before: before.kept, heads: row.kept });
  for (const group of groups) {
    const inputs = bindInputs(build, fresh, group.heads);
    const stream = streamOf(group);
    if (!stream) {
      if (!kept) throw new TypeError(`site ${site.output} keeps no keys for ${group.plan.name}`);
      contexts.push(attendKept(build, inputs, { kept, heads: row.kept, past: before.past, plan: group.plan }));
      continue;
    }
    const left = stream.attendStream(build, inputs, {
      options: group.plan.options,
      constants: constantsOf(group),
      streams: shared.streams,
      before: before.length,
      state: before.states[next++],
    });
    contexts.push(left.context);
    length = left.length;
    const { keys, values, globals, sums } = left.state;
    for (const value of [keys, values, globals, sums])
      if (value) parts.push(build.op('Reshape', [value, build.int64([0, -1])]));
  }
  pack(build, fresh, { cache, past, row, shared, length, parts, kept });
  return contexts;
}

/** Gives out the number of tokens: [B,1,P + N,0]. */
export function lengthCarrier(build: Builder, site: Site, { prefix }: SharedState): void {
  const { cache } = site.operands;
  if (!cache) throw new TypeError(`site ${site.output} has no cache`);
  const { begins, past, given } = cache;
  const tokens = begins
    ? sizeOf(build, given.key, 2)
    : build.op('Add', [sizeOf(build, past.key, 2), build.emit(cache.tokens)]);
  const rows = sizeOf(build, begins ? given.key : past.key, 0);
  const shape = build.op('Concat', [rows, build.int64([1]), tokens, build.int64([0])], { axis: 0 });
  build.rename(typed(build, site, build.op('ConstantOfShape', [shape])), namesGiven(site, cache, prefix).key);
}
