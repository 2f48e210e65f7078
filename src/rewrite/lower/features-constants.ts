/**
 * What the double softmax of features.ts reads, for every positive map of features/registry.ts: Ω and b, and for ADERF an Ω a side and
 * the basis of the keys' norm. `favor+` and `hyperbolic` are drawn from a seed. The others look at the moments of queries and keys and
 * so are constants of calibration (calibrate/fit-features.ts), named by map, M and seed:
 *   shift128.0.omega [H,M,D] .bias [H,M]   oprf128.0, sderf128.0 likewise
 *   aderf128.0.queryOmega .keyOmega [H,M,D] .keyBasis [H,D,D] .bias [H,M]
 * All are in the coordinates x = √s q, y = √s k of balanced.ts, whichever side of the graph the scale s is on.
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
    const { omega, bias } = map({ ...options, moments: pairsOf(options) });
    return { omega, bias };
  };

const calibratedMaps: Readonly<Record<string, (options: Draw) => Numbers>> = {
  shift: fromPairs(shifted),
  oprf: fromPairs(oprf),
  sderf: fromPairs(sderf),
  aderf: (options) => ({ ...aderf(options) }),
};

export const calibratedMapNames: readonly string[] = Object.keys(calibratedMaps);
export const mapNames: readonly string[] = [...Object.keys(drawnMaps), ...calibratedMapNames];

/** The options of a plan that its constants depend on. */
export interface Drawn {
  readonly map: string;
  readonly m: number;
  readonly seed: number;
}

/** What is trained with a model comes from no seed: `learned64.queryOmega`. */
export const learned = 'learned';

/** The name of a constant among those of its site. */
export function constantName({ map, m, seed }: Drawn, part: string): string {
  return map === learned ? `${map}${m}.${part}` : `${map}${m}.${seed}.${part}`;
}

/** The constants of a calibrated map and the shape of each for one head; none of a drawn one. */
export function featureShapes({ headDim: d }: Site, drawn: Drawn): Record<string, readonly number[]> {
  const { map, m } = drawn;
  if (Object.hasOwn(drawnMaps, map)) return {};
  const shapes: Record<string, readonly number[]> =
    map === 'aderf'
      ? { queryOmega: [m, d], keyOmega: [m, d], keyBasis: [d, d], bias: [m, 1] }
      : { omega: [m, d], bias: [m, 1] };
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [constantName(drawn, name), shape]));
}

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
  const made = calibratedMaps[map]({ heads: site.heads, headDim: site.headDim, m, seed, tau, moments: scaled });
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
