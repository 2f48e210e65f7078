/**
 * The best g of every prefix of a list of groups, all prefixes at once (prefix-scan.ts): prefix j holds what is best in groups
 * 0 … j. ⌈log₂ groups⌉ rounds of TopK over 2g elements: what a streaming top-g would have kept at each place.
 */
import type { Builder } from '../../onnx/build.js';
import { prefixScan } from './prefix-scan.js';

const [float32, int64] = [1, 7];

/** Score of a place that holds nothing. */
export const nothing = -1e30;

/** Scores [B,H,n,g] and what they belong to, int64 [B,H,n,g]. */
export interface Ranked {
  readonly scores: string;
  readonly items: string;
}

export function prefixTop(build: Builder, groups: Ranked, given: { heads: number; size: number }): Ranked {
  const { heads, size } = given;
  const [scores, items] = prefixScan(
    build,
    [
      { value: groups.scores, type: float32, dims: [size], fill: build.float([nothing], [1]) },
      { value: groups.items, type: int64, dims: [size], fill: build.int64([0]) },
    ],
    {
      heads,
      join(body, later, earlier) {
        const [both, of] = later.map((value, i) => body.op('Concat', [value, earlier[i]], { axis: 3 }));
        const [best, at = ''] = body.ops('TopK', [both, body.int64([size])], 2, { axis: 3 });
        return [best, body.op('GatherElements', [of, at], { axis: 3 })];
      },
    },
  );
  return { scores, items };
}
