/**
 * The constants of a feature map that looks at queries and keys, from their moments, under the names that the lowering reads
 * (rewrite/lower/features-constants.ts).
 */

import { aderf, type SideMoments } from '../features/aderf.js';
import type { PairMoments } from '../features/moments.js';
import { oprf, type WidenedOptions } from '../features/oprf.js';
import { sderf } from '../features/sderf.js';
import { shifted } from '../features/shift.js';
import { constantName, type Drawn } from '../rewrite/lower/features-constants.js';
import { calibratedMapNames } from '../rewrite/plan-options.js';
import type { Site } from '../rewrite/site.js';

type Numbers = Readonly<Record<string, Float32Array>>;
type Draw = Omit<WidenedOptions, 'moments'> & { readonly moments: SideMoments };

const fromPairs =
  (map: (options: WidenedOptions) => { omega: Float32Array; bias: Float32Array }) => (options: Draw) => {
    const { omega, bias } = map({ ...options, moments: pairsOf(options) });
    return { omega, bias };
  };

const calibratedMaps: Readonly<Record<(typeof calibratedMapNames)[number], (options: Draw) => Numbers>> = {
  shift: fromPairs(shifted),
  oprf: fromPairs(oprf),
  sderf: fromPairs(sderf),
  aderf: (options) => ({ ...aderf(options) }),
};

/** What calibration has to know of a site, with q and k as they are recorded: q·k is the score. */
export interface FeatureData {
  readonly site: Pick<Site, 'heads' | 'headDim' | 'scale'>;
  /** Factor that k carries: `operands.scaled.k` of the site. */
  readonly keyFactor: number;
  /** Of recorded q and k. */
  readonly moments: SideMoments;
  /** How far from FAVOR+ towards the proposal of least variance, 0 to 1; `shift` has none. Default 1. */
  readonly tau?: number;
}

/**
 * Makes the constants of a calibrated map under the names that the lowering reads.
 * @throws PerformersError PF202 for moments of a wrong shape or that are no covariances, a bad m, seed or tau
 */
export function featureConstants(drawn: Drawn, { site, keyFactor, moments, tau }: FeatureData): Numbers {
  // Recorded q is s/keyFactor of the model's, k is keyFactor of it.
  const root = Math.sqrt(Math.abs(site.scale));
  const [toX, toY] = [keyFactor / root, root / keyFactor];
  const times = (values: ArrayLike<number>, factor: number) => Float64Array.from(values, (value) => factor * value);
  const { queryMean, keyMean, query, key, cross } = moments;
  const scaled: SideMoments = {
    ...(queryMean && { queryMean: times(queryMean, toX) }),
    ...(keyMean && { keyMean: times(keyMean, toY) }),
    query: times(query, toX * toX),
    key: times(key, toY * toY),
    // toX · toY is 1.
    ...(cross && { cross }),
  };
  const { map, m, seed } = drawn;
  const known = calibratedMapNames.find((name) => name === map);
  if (!known) throw new TypeError(`${map} is made of no moments`);
  const made = calibratedMaps[known]({ heads: site.heads, headDim: site.headDim, m, seed, tau, moments: scaled });
  return Object.fromEntries(Object.entries(made).map(([name, data]) => [constantName(drawn, name), data]));
}

/** Of z = x + y. */
function pairsOf({ headDim: d, moments: { queryMean, keyMean, query, key, cross } }: Draw): PairMoments {
  const sum = (a: ArrayLike<number>, b: ArrayLike<number>) => Float64Array.from(a, (value, i) => value + b[i]);
  const mean = queryMean && keyMean ? sum(queryMean, keyMean) : (queryMean ?? keyMean);
  const second = sum(query, key);
  if (cross) {
    for (let at = 0; at < second.length; at++) {
      const [row, j] = [Math.floor(at / d), at % d];
      second[at] += cross[at] + cross[(row - (row % d) + j) * d + (row % d)];
    }
  }
  return { ...(mean && { mean }), second };
}
