/**
 * Spherical random features as their authors' code has them (Pennington, Yu and Kumar 2015; github.com/felixyu/SRF): densities of the radius
 * max(0, Σᵢ cᵢ (w/2σᵢ)^(d−1) exp(−w²/4σᵢ²)/σᵢ) of mass 1, ten terms, sought from random starts. Float64, naive; shares nothing with src/.
 */

/** Λ_d(t), the mean of cos t u₁ over the sphere, by Simpson's rule over the angle; d ≥ 2. */
export function sphereMean(d: number, t: number): number {
  const steps = 200;
  let [sum, total] = [0, 0];
  for (let i = 0; i <= steps; i++) {
    const angle = (Math.PI * i) / steps;
    const rule = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
    const density = rule * Math.sin(angle) ** (d - 2);
    total += density;
    sum += density * Math.cos(t * Math.cos(angle));
  }
  return sum / total;
}

/** √(mean (k − k̂)²) of the best density found, over `at` on [0, 2]. */
export function paperFloor(
  d: number,
  kernel: (t: number) => number,
  at: readonly number[],
  { starts, steps, uniform }: { readonly starts: number; readonly steps: number; readonly uniform: () => number },
): number {
  const radii = Array.from({ length: 160 }, (_, j) => (j + 0.5) * 0.2);
  const table = at.map((t) => radii.map((w) => sphereMean(d, w * t)));
  const error = (theta: readonly number[]): number => {
    const density = radii.map((w) => {
      let sum = 0;
      for (let i = 0; i < 10; i++) {
        const x = w / (2 * Math.abs(theta[i]));
        sum += (theta[10 + i] * Math.exp((d - 1) * Math.log(x) - x * x)) / Math.abs(theta[i]);
      }
      return Math.max(0, sum);
    });
    const mass = density.reduce((sum, p) => sum + p, 0);
    if (!(mass > 0)) return Infinity;
    const square = at.reduce((sum, t, i) => {
      const got = density.reduce((total, p, j) => total + (p / mass) * table[i][j], 0);
      return sum + (got - kernel(t)) ** 2;
    }, 0);
    return Math.sqrt(square / at.length);
  };
  let best = Infinity;
  for (let start = 0; start < starts; start++) {
    // As theirs: σ in (0, 1), c in (−1, 1), over √10; widened, for radii here reach 32.
    let theta = Array.from({ length: 20 }, (_, i) => (i < 10 ? 0.2 + 2 * uniform() : 2 * uniform() - 1));
    let own = error(theta);
    // Steps of one coordinate, by a random share; those that help are kept.
    for (let step = 0; step < steps; step++) {
      const i = Math.floor(20 * uniform());
      const size = 10 ** (-3 * uniform());
      const next = theta.map((value, k) => (k === i ? value + size * (2 * uniform() - 1) : value));
      const there = error(next);
      if (there < own) [theta, own] = [next, there];
    }
    best = Math.min(best, own);
  }
  return best;
}
