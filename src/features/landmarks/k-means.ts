/**
 * k-means landmarks: the centres of Lloyd's iteration (Lloyd 1982), started by k-means++ (Arthur and Vassilvitskii 2007):
 *   minimise Σᵢ min_c |xᵢ − z_c|²
 * The error of Nyström on a kernel with bounded slope is governed by this very sum (Zhang, Tsang and Kwok 2008), and centres
 * are what key clusters need, as first-order summaries ask for the mean of a cluster.
 *
 * Shapes    rows [n,d] → centres [m,d], not rows of x in general; a centre that loses all its rows stays where it was.
 * Numerics  ends when no row changes its cluster, at most 100 rounds. The objective never rises. Only + − × ÷: the same bits
 *           everywhere.
 * Cost      3nmd flops a round; 8md + 4n bytes.
 */

import { drawIndex } from '../draw-index.js';
import { uniforms } from '../rng.js';
import { candidates, type LandmarkChoice, squaredDistance } from './choose.js';

const ROUNDS = 100;

export const kMeans: LandmarkChoice = (options) => {
  const { d, m, seed = 0 } = options;
  const { n, row } = candidates(options);
  const uniform = uniforms(seed);
  const centres = new Float64Array(m * d);
  const nearest = new Float64Array(n).fill(1); // squared distance to the nearest centre so far
  for (let c = 0; c < m; c++) {
    // Rows that are all centres already: any will do.
    const next = nearest.some((value) => value > 0) ? drawIndex(nearest, uniform()) : c;
    centres.set(row(next), c * d);
    for (let i = 0; i < n; i++) {
      const distance = squaredDistance(row(i), row(next));
      nearest[i] = c === 0 ? distance : Math.min(nearest[i], distance);
    }
  }
  const cluster = new Int32Array(n).fill(-1);
  for (let round = 0; round < ROUNDS; round++) {
    let moved = false;
    for (let i = 0; i < n; i++) {
      const c = nearestLandmark(centres, row(i));
      moved ||= c !== cluster[i];
      cluster[i] = c;
    }
    if (!moved) break;
    const sums = new Float64Array(m * d);
    const counts = new Int32Array(m);
    for (let i = 0; i < n; i++) {
      counts[cluster[i]]++;
      for (let l = 0; l < d; l++) sums[cluster[i] * d + l] += row(i)[l];
    }
    for (let at = 0; at < m * d; at++) {
      const count = counts[Math.floor(at / d)];
      if (count > 0) centres[at] = sums[at] / count;
    }
  }
  return centres;
};

/** The landmark [m,d] nearest to x [d]; the first of those equally near. */
export function nearestLandmark(landmarks: Float64Array, x: Float64Array): number {
  const d = x.length;
  let [best, least] = [0, Infinity];
  for (let c = 0; c * d < landmarks.length; c++) {
    const distance = squaredDistance(landmarks.subarray(c * d, (c + 1) * d), x);
    if (distance < least) [best, least] = [c, distance];
  }
  return best;
}
