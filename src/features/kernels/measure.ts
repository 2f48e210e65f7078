/**
 * Finite signed measures of frequencies, as mixtures: k(δ) = constant + Σᵢ weightᵢ E cos(ωᵢ·δ), ωᵢ of law i. Negative weights
 * make the negative part. Any such split is unbiased; one of less total mass Σ|weight| has less variance (METHODS C.1,
 * after Liu et al. 2020, arXiv 2006.00247, and Luo et al. 2021, arXiv 2104.06204).
 *
 * A law is a map from a row of N(0, I_d) to a frequency, so that one draw of rows (independent, orthogonal, quasi-random)
 * serves every law, and a law keeps its marginal whatever the rows' dependence.
 */
import { normalCdf } from './normal-cdf.js';

export interface SignedMeasure {
  /** Mass at ω = 0: a constant feature, without variance. */
  readonly constant: number;
  readonly parts: readonly SpectralPart[];
  /** Largest |k − Σ| over where the mixture was fitted; 0 where it is exact. */
  readonly error: number;
}

export interface SpectralPart {
  /** Signed mass, not 0. */
  readonly weight: number;
  /**
   * κ(t) = E cos(ω·δ) at distance t, in the norm of the kernel's profile. V = ½(1 + κ(2t)) − κ(t)² is the variance of one
   * frequency, which decides how many each part is given.
   */
  readonly kappa: (t: number) => number;
  /** Turns `row` [d], of law N(0, I), into a frequency in place. Draws further numbers from `uniform` if it needs them. */
  readonly frequency: (row: Float64Array, uniform: () => number) => void;
}

/** weight · N(0, scale² I), κ(t) = exp(−scale² t²/2), t in the 2-norm. */
export function gaussianPart(weight: number, scale: number): SpectralPart {
  return {
    weight,
    kappa: (t) => Math.exp(-0.5 * (scale * t) ** 2),
    frequency: (row) => {
      for (let l = 0; l < row.length; l++) row[l] *= scale;
    },
  };
}

/**
 * weight · ⊗ Cauchy(0, scale), κ(t) = exp(−scale t), t in the 1-norm: ω = scale·tan(π(Φ(g) − ½)), g ~ N(0, 1). For g > 0 as
 * scale / tan(π Φ(−g)), which does not cancel in the tail.
 */
export function cauchyPart(weight: number, scale: number): SpectralPart {
  return {
    weight,
    kappa: (t) => Math.exp(-scale * t),
    frequency: (row) => {
      for (let l = 0; l < row.length; l++) {
        const size = scale / Math.tan(Math.PI * normalCdf(-Math.abs(row[l])));
        row[l] = row[l] < 0 ? -size : size;
      }
    },
  };
}

/** Variance of cos(ω·δ) for one frequency at distance t. */
export function frequencyVariance(kappa: (t: number) => number, t: number): number {
  return Math.max(0, 0.5 * (1 + kappa(2 * t)) - kappa(t) ** 2);
}

/**
 * The same for a frequency of an orthogonal block of b ≤ d rows, what its neighbours cancel taken off: to leading order in 1/d (Yu et
 * al. 2016, arXiv 1610.09072, theorem 2; for N(0, s² I), where s²t² = −2 ln κ)
 *   ½(1 − κ²)² − 2κ² ln² κ · (b − 1)/d ≥ 0
 */
export function orthogonalVariance(b: number, d: number): (kappa: (t: number) => number, t: number) => number {
  return (kappa, t) => {
    const size = Math.max(kappa(t), 1e-300);
    return Math.max(0, 0.5 * (1 - size ** 2) ** 2 - (2 * (size * Math.log(size)) ** 2 * (b - 1)) / d);
  };
}
