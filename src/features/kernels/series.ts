import type { Series } from './kernel.js';

/** weight · exp(−|x − y|²/2σ²) as exp(−|x|²/2σ²) exp(−|y|²/2σ²) Σₙ weight σ⁻²ⁿ/n! (x·y)ⁿ. */
export function gaussianSeries(weight: number, sigma: number): Series {
  return {
    degree: Infinity,
    factor: (square) => Math.exp(-square / (2 * sigma * sigma)),
    coefficient: (n) => {
      let term = weight;
      for (let k = 1; k <= n; k++) term /= k * sigma * sigma;
      return term;
    },
  };
}

/** n! / (k! (n − k)!) */
export function binomial(n: number, k: number): number {
  let value = 1;
  for (let i = 1; i <= k; i++) value *= (n - k + i) / i;
  return value;
}
