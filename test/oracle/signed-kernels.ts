/**
 * Kernels by their definitions, and the analytic variance of Fourier features of a Gaussian mixture: float64, naive, and sharing
 * nothing with src/. Sphere kernels are written by the angle, src/ has them by distance or by dot product.
 */
const dot = (x: ArrayLike<number>, y: ArrayLike<number>) => {
  let sum = 0;
  for (let l = 0; l < x.length; l++) sum += x[l] * y[l];
  return sum;
};
const squared = (x: ArrayLike<number>, y: ArrayLike<number>) => dot(x, x) - 2 * dot(x, y) + dot(y, y);
const absolute = (x: ArrayLike<number>, y: ArrayLike<number>) => {
  let sum = 0;
  for (let l = 0; l < x.length; l++) sum += x[l] > y[l] ? x[l] - y[l] : y[l] - x[l];
  return sum;
};
const angle = (x: ArrayLike<number>, y: ArrayLike<number>) => {
  const cosine = dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
  return Math.acos(Math.min(1, Math.max(-1, cosine)));
};

type KernelOracle = (d: number, x: ArrayLike<number>, y: ArrayLike<number>) => number;

/** Every kernel of the registry with the defaults it has there. */
export const kernelOracles: Readonly<Record<string, KernelOracle>> = {
  rbf: (d, x, y) => Math.exp(-squared(x, y) / (2 * d)),
  laplace: (d, x, y) => Math.exp(-absolute(x, y) / d),
  polynomial: (_, x, y) => (0.5 + 0.5 * Math.cos(angle(x, y))) ** 3,
  'delta-gaussian': (d, x, y) => Math.exp(-squared(x, y) / (2 * 0.1225 * d)) - Math.exp(-squared(x, y) / (2 * d)),
  tl1: (d, x, y) => Math.max(0, 0.7 * d - absolute(x, y)),
  epanechnikov: (_, x, y) => Math.max(0, 1 - (2 - 2 * Math.cos(angle(x, y))) / 2.25),
  'arc-cosine-0': (_, x, y) => 1 - angle(x, y) / Math.PI,
  'arc-cosine-1': (_, x, y) => arcCosine1(angle(x, y)),
  ntk: (_, x, y) => Math.cos(angle(x, y)) * (1 - angle(x, y) / Math.PI) + arcCosine1(angle(x, y)),
  log: (d, x, y) => -Math.log(1 + squared(x, y) / d),
};

function arcCosine1(theta: number): number {
  return (Math.sin(theta) + (Math.PI - theta) * Math.cos(theta)) / Math.PI;
}

/** Frequencies of one block of Fourier features: Gaussian of standard deviation scales[r], each of weight weights[r] > 0. */
export interface GaussianBlock {
  readonly scales: ArrayLike<number>;
  readonly weights: ArrayLike<number>;
}

/** Var Σᵣ wᵣ cos(ωᵣ·δ), |δ| = z, for independent rows: E cos² − (E cos)² with E cos(ω·δ) = exp(−s²z²/2). */
export function independentVariance({ scales, weights }: GaussianBlock, z: number): number {
  let sum = 0;
  for (let r = 0; r < scales.length; r++) {
    const mean = Math.exp(-((scales[r] * z) ** 2) / 2);
    const second = (1 + Math.exp(-((scales[r] * 2 * z) ** 2) / 2)) / 2;
    sum += weights[r] ** 2 * (second - mean ** 2);
  }
  return sum;
}

/**
 * The same with rows orthogonal in blocks of d, norms independent χ_d, d even. Two orthogonal rows ω, ν with norms R, Q:
 *   E cos(ω·δ) cos(ν·δ) = ½ E[cos((ω + ν)·δ) + cos((ω − ν)·δ)] = E Λ_d(z √(R² + Q²)),
 * as ω ± ν have uniform directions. R² = s²A, Q² = t²B with A, B ~ χ²(d): A + B = T ~ χ²(2d) and A/T ~ Beta(d/2, d/2) are
 * independent, and E_T Λ_d(√(2xT)) = ₁F₁(d; d/2; −x) = exp(−x) Σ_{k ≤ d/2} (−d/2)_k / ((d/2)_k k!) xᵏ (Kummer).
 */
export function orthogonalVariance(block: GaussianBlock, d: number): (z: number) => number {
  const { scales, weights } = block;
  // Σ w_r w_q over the pairs of rows of one block, by their two scales.
  const pairs = new Map<string, { readonly s: number; readonly t: number; total: number }>();
  for (let r = 0; r < scales.length; r++) {
    for (let q = r - (r % d); q < r; q++) {
      const key = `${scales[r]} ${scales[q]}`;
      const pair = pairs.get(key) ?? { s: scales[r], t: scales[q], total: 0 };
      pair.total += weights[r] * weights[q];
      pairs.set(key, pair);
    }
  }
  return (z) => {
    let sum = independentVariance(block, z);
    for (const { s, t, total } of pairs.values()) {
      const means = Math.exp(-((s * s + t * t) * z * z) / 2);
      sum += 2 * total * (orthogonalProduct(s, t, d, z) - means);
    }
    return sum;
  };
}

/** E cos(ω·δ) cos(ν·δ): the integral over the Beta law by Simpson's rule. */
export function orthogonalProduct(s: number, t: number, d: number, z: number): number {
  if (s === t) return kummer((s * s * z * z) / 2, d);
  const steps = 400;
  let [integral, total] = [0, 0];
  for (let i = 0; i <= steps; i++) {
    const b = i / steps;
    const rule = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
    const density = rule * (b * (1 - b)) ** (d / 2 - 1);
    total += density;
    integral += density * kummer(((s * s * b + t * t * (1 - b)) * z * z) / 2, d);
  }
  return integral / total;
}

function kummer(x: number, d: number): number {
  let [sum, term] = [0, 1];
  for (let k = 0; k <= d / 2; k++) {
    sum += term;
    term *= ((k - d / 2) * x) / ((d / 2 + k) * (k + 1));
  }
  return Math.exp(-x) * sum;
}
