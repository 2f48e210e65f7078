/**
 * ADERF, the asymmetric dense-exponential features of FAVOR# (Likhosherstov et al. 2023, arXiv 2302.00787), as METHODS A.7
 * derives them: with G of balance.ts, x·y = (Gx)·(G⁻¹y) and both sides have the covariance C = G M₁ G, M₁ = cov x. SDERF with
 * E[zzᵀ] = 2C + X + Xᵀ, X = G cov(x, y) G⁻¹, runs in those coordinates and is folded back. tr X does not depend on G: what goes
 * together of x and y leaves the best G as it is.
 *   φ_q(x)ᵣ = exp(Ω_q x − |Gx|²/2 + b),  φ_k(y)ᵣ = exp(Ω_k y − |G⁻¹y|²/2 + b),  Ω_q = ΩG,  Ω_k = ΩG⁻¹
 * METHODS: derived and numerically checked; that the published ADERF chooses the same G is not known to us.
 * Verified here: unbiased, R and error with means and unequal covariances, double softmax of the folded form.
 *
 * The two sides do not share Ω: attention/double-softmax.ts takes one for each, and the norm |keyBasis y|² of the keys.
 * |Gx|² cancels in the normaliser.
 * Shapes: Ω_q, Ω_k [H,M,D], keyBasis [H,D,D], b [H,M].
 * Numerics: M + 1e-4 tr(M)/D I before inverting. It moves G, hence the variance, and not the mean.
 * Cost: seven eigen-decompositions [D,D] a head and 4HMD² flops to fold; 4H(2MD + D² + M) bytes; 2D² flops a key at run time.
 */
import { type Balance, balance, product } from './balance.js';
import { proposalFeatures } from './gaussian-proposal.js';
import { energies, momentsOf } from './moments.js';
import type { WidenedOptions } from './oprf.js';
import { sderfProposal } from './sderf.js';

/** Means and covariances of x = √scale·q and y = √scale·k over the pairs of calibration tokens. */
export interface SideMoments {
  readonly queryMean?: ArrayLike<number>; // [H,D]
  readonly keyMean?: ArrayLike<number>; // [H,D]
  readonly query: ArrayLike<number>; // [H,D,D]
  readonly key: ArrayLike<number>; // [H,D,D]
  /** E[(x − μₓ)(y − μ_y)ᵀ]. Default 0, as of pairs taken independently. */
  readonly cross?: ArrayLike<number>; // [H,D,D]
}

export interface AsymmetricOptions extends Omit<WidenedOptions, 'moments'> {
  readonly moments: SideMoments;
}

/** No field is called omega: these do not pass for constants that both sides share. */
export interface AsymmetricConstants {
  readonly queryOmega: Float32Array; // [H,M,D]
  readonly keyOmega: Float32Array; // [H,M,D]
  readonly keyBasis: Float32Array; // [H,D,D]
  readonly bias: Float32Array; // [H,M]
}

export type AsymmetricMap = (options: AsymmetricOptions) => AsymmetricConstants;

/** @throws PerformersError PF202 for a count below 1, a bad seed, tau outside [0, 1], or moments that are no covariances */
export function aderf(options: AsymmetricOptions): AsymmetricConstants {
  const { heads, headDim: d, m, moments } = options;
  const bases: Balance[] = [];
  const { omega, bias } = proposalFeatures(options, (head) => {
    const part = (name: keyof SideMoments, size: number) => momentsOf(name, moments[name], size, options, head);
    const query = ridged(part('query', d * d), d, 'query');
    const basis = balance(query, ridged(part('key', d * d), d, 'key'), d);
    bases.push(basis);
    const fromKeys = product(part('keyMean', d), basis.inverse, d);
    const mean = product(part('queryMean', d), basis.g, d).map((value, i) => value + fromKeys[i]);
    const cross = product(product(basis.g, part('cross', d * d), d), basis.inverse, d);
    const second = product(product(basis.g, query, d), basis.g, d).map(
      (value, i) => 2 * value + cross[i] + cross[(i % d) * d + Math.floor(i / d)],
    );
    return sderfProposal({ ...options, heads: 1, moments: { mean, second } }, 0);
  });
  const queryOmega = new Float32Array(heads * m * d);
  const keyOmega = new Float32Array(heads * m * d);
  const keyBasis = new Float32Array(heads * d * d);
  bases.forEach(({ g, inverse }, head) => {
    const own = omega.subarray(head * m * d, (head + 1) * m * d);
    queryOmega.set(product(own, g, d), head * m * d);
    keyOmega.set(product(own, inverse, d), head * m * d);
    keyBasis.set(inverse, head * d * d);
  });
  return { queryOmega, keyOmega, keyBasis, bias: Float32Array.from(bias) };
}

/** M + 1e-4 tr(M)/d I. */
function ridged(covariance: Float64Array, d: number, name: string): Float64Array {
  const trace = energies(covariance, d, name).values.reduce((sum, energy) => sum + energy, 0);
  return covariance.map((value, i) => (i % (d + 1) === 0 ? value + (1e-4 * trace) / d : value));
}
