/**
 * The best g of every prefix of a list of groups, all prefixes at once (prefix-scan.ts): prefix j holds what is best in groups
 * 0 … j, what a streaming top-g would have kept at each place. Each join is a TopK over the groups it joins.
 */
import type { Builder } from '../../onnx/build.js';
import { unsqueeze } from './blocks.js';
import { nothing, type Places, prefixScan, type Runs } from './prefix-scan.js';

/**
 * Scores [B,H,n,g], `nothing` or less where a place is free, and what they belong to, whole numbers in float32 [B,H,n,g]: 0 where they
 * belong to nothing.
 */
export interface Ranked {
  readonly scores: string;
  readonly items: string;
}

export function prefixTop(build: Builder, groups: Ranked, { runs, size }: { runs: Runs; size: number }): Ranked {
  const dims = [size];
  const [scores, items] = prefixScan(
    build,
    [
      { value: groups.scores, dims },
      { value: groups.items, dims },
    ],
    { runs, join: ([of, belonging], places) => best(build, { scores: of, items: belonging }, { places, size }) },
  );
  const free = build.op('Less', [scores, build.float([nothing / 2], [])]);
  return { scores, items: build.op('Where', [free, build.float([0], []), items]) };
}

/** The best of k groups [B,H,X,k,g] that are together at each of p places: [B,H,X,p,g]. */
function best(build: Builder, { scores, items }: Ranked, { places, size }: { places: Places; size: number }): string[] {
  const flat = (value: string) => build.op('Reshape', [value, build.int64([0, 0, 0, 0, -1])]);
  const seen = build.op('Add', [unsqueeze(build, scores, 3), unsqueeze(build, places.hidden, 2)]);
  const [top, at = ''] = build.ops('TopK', [flat(seen), build.int64([size])], 2, { axis: 4 });
  const all = build.op('Expand', [unsqueeze(build, items, 3), build.op('Shape', [seen])]);
  return [top, build.op('GatherElements', [flat(all), at], { axis: 4 })];
}
