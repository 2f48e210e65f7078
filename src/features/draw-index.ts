/** The index i that u, uniform in (0, 1), falls on when [0, Σ weights] is cut into pieces of length weights[i] ≥ 0, Σ > 0. */
export function drawIndex(weights: readonly number[], u: number): number {
  const target = u * weights.reduce((sum, weight) => sum + weight, 0);
  let below = 0;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    last = i;
    below += weights[i];
    if (target < below) return i;
  }
  // Rounding can leave the sum of the pieces below u times itself.
  return last;
}
