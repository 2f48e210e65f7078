/**
 * Features by kernel alignment (Sinha and Duchi 2016, "Learning kernels with random features", NIPS): over the pool find
 *   max_q Σᵣ qᵣ vᵣ,   vᵣ = |Σᵢ yᵢ exp(iωᵣ·xᵢ)|²,   q a distribution with Σᵣ (P qᵣ − 1)² ≤ P ρ,
 * the kernel Σ qᵣ cos ωᵣ·(x − y) most aligned with yyᵀ in a χ² ball about the pool's own, and draw m frequencies from q.
 * The optimum is qᵣ = max(0, (vᵣ − τ)/η). The paper bisects; here the k largest vᵣ that stay above τ are found by their
 * prefix sums, exactly: with mean v̄ and squared deviation s of those k,
 *   η² = s / ((1 + ρ)/P − 1/k),   τ = v̄ − η/k,   v₍ₖ₎ > τ ≥ v₍ₖ₊₁₎
 * P/(1 + ρ) is the effective number of frequencies kept, 1/Σq².
 *
 * Shapes    rows [n,d], labels [n] → Ω [m,d], amplitudes m^−½; a frequency may come more than once.
 * Numerics  k̂ is unbiased for the learned kernel, deliberately not for the Gaussian one. Nothing grows.
 * Cost      nP(2d + 6) + P log P flops, once; 16nP bytes meanwhile; then 8m(d + 1) bytes, m(2d + 4) flops a row of x.
 * METHODS marks it as unverified; its ball is that of the authors' code. Verified here: optimality by the KKT conditions,
 * unbiasedness for the learned kernel with the exact variance. The number of the equation was not at hand.
 */
import { PerformersError } from '../../errors.js';
import { alignments, type DataOptions, drawFrom, drawPool, type Frequencies, rowsAt } from './frequencies.js';

export interface AlignmentOptions extends DataOptions {
  /** Radius ρ ≥ 0 of the ball. Default pool/m − 1: as many frequencies in effect as are drawn. */
  readonly rho?: number;
}

/** @throws PerformersError PF202 for a bad option, PF401, PF403 for bad rows or labels, PF402 for a pool smaller than m */
export function alignment(options: AlignmentOptions): Frequencies {
  const pool = drawPool(options, 'labels');
  const { d, m, rho = pool.size / m - 1 } = options;
  const q = alignedWeights(alignments(pool), rho);
  const indices = drawFrom(q, options).map(({ index }) => index);
  return { omega: rowsAt(pool.omega, indices, d), amplitude: new Float64Array(m).fill(1 / Math.sqrt(m)) };
}

/** The distribution q of largest Σ q v with Σ (P q − 1)² ≤ P ρ [P]. @throws PerformersError PF202 unless ρ ≥ 0 is finite */
export function alignedWeights(v: Float64Array, rho: number): Float64Array {
  if (!(rho >= 0 && rho < Infinity)) {
    throw new PerformersError('PF202', `rho must be finite and >= 0, got ${rho}`, {
      at: 'features.rho',
      mend: 'use rho = pool / m - 1, or 0 for the Gaussian kernel itself',
    });
  }
  const size = v.length;
  const largest = v.reduce((most, value) => Math.max(most, value), 0);
  if (largest === 0) return new Float64Array(size).fill(1 / size);
  const falling = v.map((value) => value / largest).sort((a, b) => b - a);
  const most = (1 + rho) / size;
  let [sum, squares] = [0, 0];
  for (let k = 1; k <= size; k++) {
    sum += falling[k - 1];
    squares += falling[k - 1] ** 2;
    if (most <= 1 / k || (k < size && falling[k] === falling[k - 1])) continue;
    const deviation = Math.max(0, squares - sum ** 2 / k);
    const eta = Math.sqrt(deviation / (most - 1 / k));
    const tau = sum / k - eta / k;
    if (k < size && tau < falling[k]) continue;
    // All k alike: the whole weight is shared among them, for any ball that reaches so far.
    return v.map((value) =>
      eta > 0 ? Math.max(0, (value / largest - tau) / eta) : Number(value / largest >= falling[k - 1]) / k,
    );
  }
  return new Float64Array(size).fill(1 / size);
}
