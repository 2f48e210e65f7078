/**
 * Key clusters (METHODS A.12, derived; of the family of Vyas, Katharopoulos and Fleuret 2020, arXiv 2007.04825, which clusters
 * queries): keys stand for the landmark nearest to them,
 *   φ_q(x) = [exp(x·z_c)]_c,   φ_k(y) = the unit vector of the c nearest to y,   φ_q(x)·φ_k(y) = exp(x·z_c(y))
 * for x = √scale·q, y = √scale·k, so that linear attention is Σ_c n_c exp(x·z_c) v̄_c over m clusters, of n_c keys each. Where
 * z_c is the mean of its cluster, as k-means has it, Σ over the keys of a cluster is at most that of the softmax kernel
 * (Jensen), and the relative error is about half the variance of x·y within a cluster. Weights are never negative.
 *
 * Shapes    x [N,d] → [N,m], landmarks of the rows by `choose`, default k-means; one feature of a key is 1, the others 0.
 * Numerics  exp(x·z_c) may overflow, which is refused. Exact, to rounding, where every key is a landmark.
 * Cost      2md flops and m exponentials a query, 3md flops a key; 8md bytes.
 * METHODS: derived. Verified here: the identity, the bound, exactness at m = n.
 */
import { finiteExp, type PairMap, project, rowMap } from '../row-map.js';
import { nearestLandmark } from './k-means.js';
import { type LandmarkMapOptions, landmarksOf } from './landmark-map.js';

/** @throws PerformersError PF202, PF401, PF402, PF403 as the choice of landmarks does */
export function clusters(options: LandmarkMapOptions): PairMap {
  const { d, m } = options;
  const landmarks = landmarksOf(options);
  const query = rowMap(d, m, (row, into) => {
    for (let c = 0; c < m; c++) into[c] = finiteExp(project(landmarks, row, c), 'x·z');
  });
  const key = rowMap(d, m, (row, into) => {
    into[nearestLandmark(landmarks, row)] = 1;
  });
  return { d, features: m, query: query.phi, key: key.phi };
}
