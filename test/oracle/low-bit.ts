/**
 * What low-bit features are expected to do, from the definitions: float64, naive sums, nothing shared with src/.
 */

/** Φ(x), by Simpson's rule on the density from 0 to x in 2,000 steps. */
export function normalBelow(x: number): number {
  const end = Math.min(Math.abs(x), 10);
  const steps = 2000;
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const t = (end * i) / steps;
    sum += (i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2) * Math.exp((-t * t) / 2);
  }
  const area = (sum * end) / steps / 3 / Math.sqrt(2 * Math.PI);
  return x < 0 ? 0.5 - area : 0.5 + area;
}

/**
 * aₙ = (2/π) ∫₀^π Q(cos θ) cos nθ dθ for a staircase Q with `levels` between `cuts` (both rising, on [−1, 1]): on each tread the
 * integral is level·(sin nθ at its ends) / n.
 */
export function staircaseCoefficient(levels: readonly number[], cuts: readonly number[], n: number): number {
  let sum = 0;
  for (let l = 0; l < levels.length; l++) {
    const from = l === levels.length - 1 ? 0 : Math.acos(cuts[l]);
    const to = l === 0 ? Math.PI : Math.acos(cuts[l - 1]);
    sum += (levels[l] * (Math.sin(n * to) - Math.sin(n * from))) / n;
  }
  return (2 / Math.PI) * sum;
}

/** E[k̂(δ)] = Σₙ aₙ² k(nδ) with k(δ) = exp(−|δ|²/2), for a staircase on both cosines of a random phase. */
export function staircaseKernel(levels: readonly number[], cuts: readonly number[], distance: number): number {
  let sum = 0;
  for (let n = 1; n < 400; n++)
    sum += staircaseCoefficient(levels, cuts, n) ** 2 * Math.exp(-((n * distance) ** 2) / 2);
  return sum;
}

/** Πₗ Σ_q p_q cos(w_q δₗ): the kernel of iid frequencies on `levels`, drawn by a Gaussian that is cut at `cuts`. */
export function latticeKernel(levels: readonly number[], cuts: readonly number[], delta: readonly number[]): number {
  return delta.reduce((product, t) => {
    let sum = 0;
    for (let l = 0; l < levels.length; l++) {
      const below = l === 0 ? 0 : normalBelow(cuts[l - 1]);
      const above = l === levels.length - 1 ? 1 : normalBelow(cuts[l]);
      sum += (above - below) * Math.cos(levels[l] * t);
    }
    return product * sum;
  }, 1);
}

/** Mean and variance of x̂·ŷ when every number goes to the level above or below with E[x̂] = x, given the features. */
export function stochasticMoments(x: readonly number[], y: readonly number[], levels: readonly number[]) {
  const spread = (value: number): number => {
    let below = levels[0];
    for (const level of levels) if (level <= value) below = level;
    const above = levels.find((level) => level > value) ?? below;
    return (value - below) * (above - value);
  };
  let [mean, variance] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    mean += x[i] * y[i];
    variance += x[i] ** 2 * spread(y[i]) + y[i] ** 2 * spread(x[i]) + spread(x[i]) * spread(y[i]);
  }
  return { mean, variance };
}

/** Bits [i·b, (i + 1)·b) of a stream, low bits first, one bit at a time. */
export function readBits(data: Uint8Array, bits: number, index: number): number {
  let code = 0;
  for (let bit = 0; bit < bits; bit++) {
    const at = index * bits + bit;
    code += 2 ** bit * (Math.floor(data[Math.floor(at / 8)] / 2 ** (at % 8)) % 2);
  }
  return code;
}
