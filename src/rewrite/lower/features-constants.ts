/**
 * What the double softmax of features.ts reads, for every positive map of features/registry.ts: Ω and b, and for ADERF an Ω a side and
 * the basis of the keys' norm. `favor+` and `hyperbolic` are drawn from a seed. The others look at the moments of queries and keys and
 * so are constants of calibration (calibrate/fit-features.ts), named by map, M and seed:
 *   shift128.0.omega [H,M,D] .bias [H,M]   oprf128.0, sderf128.0 likewise
 *   aderf128.0.queryOmega .keyOmega [H,M,D] .keyBasis [H,D,D] .bias [H,M]
 * All are in the coordinates x = √s q, y = √s k of balanced.ts, whichever side of the graph the scale s is on.
 */
import { type FeatureMap, favorPlus } from '../../features/favor-plus.js';
import { hyperbolic } from '../../features/hyperbolic.js';
import { type drawnMapNames, learned } from '../plan-options.js';
import type { Site } from '../site.js';

/** Maps that look at nothing. */
export const drawnMaps: Readonly<Record<string, FeatureMap>> = {
  'favor+': favorPlus,
  hyperbolic,
} satisfies Record<(typeof drawnMapNames)[number], FeatureMap>;

/** The options of a plan that its constants depend on. */
export interface Drawn {
  readonly map: string;
  readonly m: number;
  readonly seed: number;
}

/** The name of a constant among those of its site. */
export function constantName({ map, m, seed }: Drawn, part: string): string {
  return map === learned ? `${map}${m}.${part}` : `${map}${m}.${seed}.${part}`;
}

/** The constants of a calibrated or trained map and the shape of each for one head; none of a drawn one. */
export function featureShapes({ headDim: d }: Site, drawn: Drawn): Record<string, readonly number[]> {
  const { map, m } = drawn;
  if (Object.hasOwn(drawnMaps, map)) return {};
  const sided = { queryOmega: [m, d], keyOmega: [m, d], bias: [m, 1] };
  const shapes: Record<string, readonly number[]> =
    map === learned
      ? { ...sided, decay: [1, 1, 1] }
      : map === 'aderf'
        ? { ...sided, keyBasis: [d, d] }
        : { omega: [m, d], bias: [m, 1] };
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [constantName(drawn, name), shape]));
}
