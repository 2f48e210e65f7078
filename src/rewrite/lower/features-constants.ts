/**
 * What the double softmax of features.ts reads, for every positive map of features/registry.ts: Ω and b, and for ADERF an Ω a side and
 * the basis of the keys' norm. `favor+` and `hyperbolic` are drawn from a seed. The others look at the moments of queries and keys and
 * so are constants of calibration, named by map and M:
 *   shift128.omega [H,M,D] .bias [H,M]   oprf128, sderf128 likewise   aderf128.queryOmega .keyOmega [H,M,D] .keyBasis [H,D,D] .bias [H,M]
 * All are in the coordinates x = √s q, y = √s k, whichever side of the graph the scale s is on.
 */
import { aderf, type SideMoments } from '../../features/aderf.js';
import { type FeatureMap, favorPlus } from '../../features/favor-plus.js';
import { hyperbolic } from '../../features/hyperbolic.js';
import type { PairMoments } from '../../features/moments.js';
import { oprf, type WidenedOptions } from '../../features/oprf.js';
import { sderf } from '../../features/sderf.js';
import { shifted } from '../../features/shift.js';
import type { Site } from '../site.js';

/** Maps that look at nothing. */
export const drawnMaps: Readonly<Record<string, FeatureMap>> = { 'favor+': favorPlus, hyperbolic };

type Numbers = Readonly<Record<string, Float32Array>>;
type Draw = Omit<WidenedOptions, 'moments'> & { readonly moments: SideMoments };

const fromPairs =
  (map: (options: WidenedOptions) => { omega: Float32Array; bias: Float32Array }) => (options: Draw) => {
    const { omega, bias } = map({ ...options, moments: pairMoments(options.moments) });
    return { omega, bias };
  };

const calibratedMaps: Readonly<Record<string, (options: Draw) => Numbers>> = {
  shift: fromPairs(shifted),
  oprf: fromPairs(oprf),
  sderf: fromPairs(sderf),
  aderf: (options) => ({ ...aderf(options) }),
};

export const mapNames: readonly string[] = [...Object.keys(drawnMaps), ...Object.keys(calibratedMaps)];

/** The constants of a calibrated map and the shape of each for one head; none of a drawn one. */
export function featureShapes({ headDim: d }: Site, map: string, m: number): Record<string, readonly number[]> {
  if (Object.hasOwn(drawnMaps, map)) return {};
  const shapes: Record<string, readonly number[]> =
    map === 'aderf'
      ? { queryOmega: [m, d], keyOmega: [m, d], keyBasis: [d, d], bias: [m, 1] }
      : { omega: [m, d], bias: [m, 1] };
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [`${map}${m}.${name}`, shape]));
}

/** What calibration has to know of a site, with q and k as they are recorded: q·k is the score. */
export interface FeatureData {
  readonly site: Pick<Site, 'heads' | 'headDim' | 'scale'>;
  /** Factor that k carries: `operands.scaled.k` of the site. */
  readonly keyFactor: number;
  /** Of recorded q and k. */
  readonly moments: SideMoments;
}

/**
 * Makes the constants of a calibrated map under the names that the lowering reads.
 * @throws PerformersError PF202 for moments of a wrong shape or that are no covariances, a bad m, seed or tau
 */
export function featureConstants(
  map: string,
  { site, keyFactor, moments }: FeatureData,
  { m, seed, tau }: { readonly m: number; readonly seed?: number; readonly tau?: number },
): Numbers {
  // Recorded q is s/keyFactor of the model's, k is keyFactor of it.
  const [toX, toY] = [keyFactor / Math.sqrt(site.scale), Math.sqrt(site.scale) / keyFactor];
  const times = (values: ArrayLike<number>, factor: number) => Float64Array.from(values, (value) => factor * value);
  const { queryMean, keyMean, query, key } = moments;
  const scaled: SideMoments = {
    ...(queryMean && { queryMean: times(queryMean, toX) }),
    ...(keyMean && { keyMean: times(keyMean, toY) }),
    query: times(query, toX * toX),
    key: times(key, toY * toY),
  };
  const made = calibratedMaps[map]({ heads: site.heads, headDim: site.headDim, m, seed, tau, moments: scaled });
  return Object.fromEntries(Object.entries(made).map(([name, data]) => [`${map}${m}.${name}`, data]));
}

/** Of z = x + y over pairs taken independently. */
function pairMoments({ queryMean, keyMean, query, key }: SideMoments): PairMoments {
  const sum = (a: ArrayLike<number>, b: ArrayLike<number>) => Float64Array.from(a, (value, i) => value + b[i]);
  const mean = queryMean && keyMean ? sum(queryMean, keyMean) : (queryMean ?? keyMean);
  return { ...(mean && { mean }), second: sum(query, key) };
}
