import { PerformersError } from '../../errors.js';
import { distance, type Kernel, splitRows } from '../kernels/kernel.js';

/** How many distances a fit looks at. */
const COUNT = 200;

/**
 * Distances at which the kernel is used, in the norm of its profile, ascending: of pairs of rows [n,d], or by default
 * evenly on [0, range]. Pairs (i, j) are taken by a stride through all of them, so that no random numbers are needed.
 * @throws PerformersError PF202, PF413 for bad rows, PF411 for a kernel that is no function of one distance
 */
export function usedDistances(kernel: Kernel, rows?: ArrayLike<number>): Float64Array {
  const { profile } = kernel;
  if (!profile) {
    throw new PerformersError(
      'PF411',
      `the ${kernel.name} kernel is no function of a distance: it has no signed split`,
      {
        at: 'features.kernel',
        mend: 'normalise rows and give the kernel a profile on the sphere, or use maclaurin or tensor-sketch',
      },
    );
  }
  if (rows === undefined) return Float64Array.from({ length: COUNT }, (_, i) => (i / (COUNT - 1)) * profile.range);
  const all = splitRows(kernel, rows);
  const n = all.length;
  if (n < 2) {
    throw new PerformersError('PF202', `rows must hold at least 2 rows of width ${kernel.d}, got ${n}`, {
      at: 'features.rows',
      mend: 'pass a hundred rows or more from where the kernel will be used, or leave rows out',
    });
  }
  const pairs = (n * (n - 1)) / 2;
  const count = Math.min(COUNT, pairs);
  return Float64Array.from({ length: count }, (_, index) => {
    const [i, j] = pair(Math.floor(((index + 0.5) * pairs) / count));
    return distance(profile.norm, all[i], all[j]);
  }).sort();
}

/** The pair i > j ≥ 0 of number k = i(i − 1)/2 + j. */
function pair(k: number): [number, number] {
  let i = Math.floor((1 + Math.sqrt(1 + 8 * k)) / 2);
  while ((i * (i - 1)) / 2 > k) i--;
  while ((i * (i + 1)) / 2 <= k) i++;
  return [i, k - (i * (i - 1)) / 2];
}
