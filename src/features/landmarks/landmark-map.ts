/** Maps made of landmarks: the same options for all, and any way of choosing. */
import type { PairMap } from '../row-map.js';
import type { LandmarkChoice, LandmarkOptions } from './choose.js';
import { kMeans } from './k-means.js';

export interface LandmarkMapOptions extends Omit<LandmarkOptions, 'kernel'> {
  /** Default `kMeans`. */
  readonly choose?: LandmarkChoice;
}

/** Makes a map of landmarks of `rows`; for attention, rows are keys √scale·k, or keys and queries. */
export type LandmarkMapFactory = (options: LandmarkMapOptions) => PairMap;

/** [m,d] */
export function landmarksOf({ choose = kMeans, ...options }: LandmarkMapOptions): Float64Array {
  return choose(options);
}
