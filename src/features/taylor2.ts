/**
 * Second-order Taylor features of the softmax kernel (Based, Arora et al. 2024, arXiv 2402.18668):
 *   φ(x) = [1, x_a, x_a x_b (a < b), x_a²/√2],  φ(x)·φ(y) = 1 + s + s²/2 = ½ + ½(1 + s)² > 0,  s = x·y
 * for x = √scale·q, y = √scale·k. Deterministic, and positive although features are not. Its error is about |s|³/6: fine
 * for |s| ≤ 1, so centre (METHODS 0.2) and balance (A.7) first. At d = 64 it has 2145 features; project to 16 for 153.
 * METHODS A.17: read in code; the paper's equation number is not known to us. Verified here: the identity, to 1e-12.
 *
 * Shapes: x [N,d] → [N, 1 + d + d(d + 1)/2]: one, the coordinates, then the products row by row (a ≤ b).
 * Numerics: polynomials only; far from 0 it is simply not exp. Cost: N d(d + 1) flops, no bytes of constants.
 */
import { type RowMap, type RowMapOptions, rowMap } from './row-map.js';

/** @throws PerformersError PF202 for d below 1 */
export function taylor2({ d }: Pick<RowMapOptions, 'd'>): RowMap {
  return rowMap(d, 1 + d + (d * (d + 1)) / 2, (row, into) => {
    into[0] = 1;
    into.set(row, 1);
    let next = 1 + d;
    for (let a = 0; a < d; a++) {
      for (let b = a; b < d; b++) into[next++] = row[a] * row[b] * (a === b ? Math.SQRT1_2 : 1);
    }
  });
}
