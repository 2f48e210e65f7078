/**
 * E g(u, v) for jointly Gaussian u = ω·x, v = ω·y, ω ~ N(0, I), by the trapezoid rule on a square of ± 9 deviations: in the
 * plane of x and y, u = |x| a and v = |y| (a cos θ + b sin θ). Error below 1e-6 for functions with kinks, where they lie on
 * lines of the grid only by chance.
 */
export function gaussianExpectation(
  g: (u: number, v: number) => number,
  x: readonly number[],
  y: readonly number[],
  steps = 1800,
): number {
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const [p, q] = [Math.sqrt(dot(x, x)), Math.sqrt(dot(y, y))];
  const cos = dot(x, y) / (p * q);
  const sin = Math.sqrt(1 - cos * cos);
  const h = 18 / steps;
  const weights = Array.from({ length: steps + 1 }, (_, i) => Math.exp(-((i * h - 9) ** 2) / 2));
  let total = 0;
  for (let i = 0; i <= steps; i++) {
    const a = i * h - 9;
    for (let j = 0; j <= steps; j++) {
      const b = j * h - 9;
      total += weights[i] * weights[j] * g(p * a, q * (a * cos + b * sin));
    }
  }
  return (total * h * h) / (2 * Math.PI);
}
