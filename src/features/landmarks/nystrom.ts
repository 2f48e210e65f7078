/**
 * Nyström features of the softmax kernel (Williams and Seeger 2001, equation 3; as attention Chen, Zeng, Ji and Yang 2021,
 * "Skyformer", arXiv 2111.00035, on the Gaussian kernel as here):
 *   φ(x) = exp(|x|²/2) G^−½ [exp(−|x − ζ_c|²/2)]_c,   G = [exp(−|ζ_c − ζ_e|²/2)],   K̂(x, y) = k(x, Z) k(Z, Z)⁺ k(Z, y)
 * for x = √scale·q, y = √scale·k. Exact where x or y is a landmark; as a matrix, the best that functions of those landmarks
 * can do, and never above K in the sense of positive semi-definite matrices. Features are signed: normalisers need a guard.
 *
 * Shapes    x [N,d] → [N,m], landmarks of the rows by `choose`, default k-means.
 * Numerics  |φ(x)|² ≤ exp(|x|²). Directions of G below 1e-10 of its largest eigenvalue are left out, so that rounding is
 *           magnified at most 10⁵ times where landmarks all but coincide. exp(|x|²/2) overflows at |x|² > 1419: refused.
 * Cost      an eigen-decomposition [m,m], once; m(3d + 2m) flops and m exponentials a row; 8m(d + m) bytes.
 * METHODS A.20: read in code. Verified here: exact at landmarks, the defining product by elimination, K − K̂ ≥ 0.
 */
import { bothSides, finiteExp, type PairMap, project, rowMap, square } from '../row-map.js';
import { spectralFunction, symmetricEigen } from '../symmetric-eigen.js';
import { gaussianKernel, squaredDistance } from './choose.js';
import { type LandmarkMapOptions, landmarksOf } from './landmark-map.js';

/** @throws PerformersError PF202, PF401, PF402, PF403 as the choice of landmarks does */
export function nystrom(options: LandmarkMapOptions): PairMap {
  const { d, m } = options;
  const landmarks = landmarksOf(options);
  const landmark = (c: number) => landmarks.subarray(c * d, (c + 1) * d);
  const gram = Float64Array.from({ length: m * m }, (_, at) =>
    gaussianKernel(landmark(Math.floor(at / m)), landmark(at % m)),
  );
  const eigen = symmetricEigen(gram, m, 'landmarks');
  const floor = 1e-10 * eigen.values[0];
  const root = spectralFunction(eigen, (value) => (value > floor ? 1 / Math.sqrt(value) : 0));
  const near = new Float64Array(m);
  return bothSides(
    rowMap(d, m, (row, into) => {
      const size = finiteExp(square(row) / 2, '|x|²/2');
      for (let c = 0; c < m; c++) near[c] = Math.exp(-squaredDistance(row, landmark(c)) / 2);
      for (let c = 0; c < m; c++) into[c] = size * project(root, near, c);
    }),
  );
}
