/**
 * Cosines and sines of a signed mixture of frequencies (Luo et al. 2021, arXiv 2104.06204, whose complex features are two real
 * blocks here; METHODS C.1):
 *   k̂(x, y) = c₀ + Σ_{r ∈ +} aᵣ² cos(ωᵣ·(x − y)) − Σ_{r ∈ −} aᵣ² cos(ωᵣ·(x − y))
 * with E k̂ = k for the law and the amplitudes of `spectralFeatures`. Exact at x = y for the constant and at every seed, as
 * Σ₊ a² − Σ₋ a² = k(0) by construction.
 *
 * Shapes    x [N,d] → [N,M]: positive block, then negative; in each the constant if there is one, cosines, sines.
 * Numerics  features are at most √(weight/n); k̂ is a difference of two sums of masses M⁺ and M⁻, so that its rounding error
 *           is ε(M⁺ + M⁻), not ε|k|: with float32 features and a total mass of 10 about 1e-6.
 * Cost      n(2d + 4) flops a row for n frequencies; 8n(d + 1) bytes.
 */
import { type Kernel, splitRows } from '../kernels/kernel.js';
import type { FourierBlock, FourierConstants, SignedMap } from './signed-map.js';

export function fourierMap(kernel: Pick<Kernel, 'd' | 'domain' | 'name'>, fourier: FourierConstants): SignedMap {
  const { d } = kernel;
  const blocks = [fourier.positive, fourier.negative];
  const widths = blocks.map(width);
  const features = widths[0] + widths[1];
  const frequencies = blocks.reduce((sum, { amplitude }) => sum + amplitude.length, 0);
  return {
    d,
    features,
    signs: Int8Array.from({ length: features }, (_, r) => (r < widths[0] ? 1 : -1)),
    bytes: 8 * frequencies * (d + 1) + 8 * (features - 2 * frequencies),
    flops: frequencies * (2 * d + 4),
    fourier,
    phi: (x) => {
      const rows = splitRows(kernel, x);
      const out = new Float64Array(rows.length * features);
      rows.forEach((row, i) => {
        fill(fourier.positive, row, out.subarray(i * features, i * features + widths[0]));
        fill(fourier.negative, row, out.subarray(i * features + widths[0], (i + 1) * features));
      });
      return out;
    },
  };
}

function width({ constant, amplitude }: FourierBlock): number {
  return 2 * amplitude.length + Number(constant > 0);
}

function fill({ constant, omega, amplitude }: FourierBlock, row: Float64Array, into: Float64Array): void {
  const n = amplitude.length;
  const d = row.length;
  const first = Number(constant > 0);
  if (first) into[0] = Math.sqrt(constant);
  for (let r = 0; r < n; r++) {
    let angle = 0;
    for (let l = 0; l < d; l++) angle += omega[r * d + l] * row[l];
    into[first + r] = amplitude[r] * Math.cos(angle);
    into[first + n + r] = amplitude[r] * Math.sin(angle);
  }
}
