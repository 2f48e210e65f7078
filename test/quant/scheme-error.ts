/** The error that a scheme's budget bounds, on one seeded problem: d = 16, n = 96 rows, m = 1,024 features, bandwidth 4. */
import { gaussians } from '../../src/features/rng.js';
import { phasedCosines } from '../../src/quant/phased-cosines.js';
import { dequantize, quantize, type Scheme } from '../../src/quant/scheme.js';
import { relRMS } from '../close.js';

const [n, d, m] = [96, 16, 1024];
const normal = gaussians(11);
const x = Float64Array.from({ length: n * d }, () => normal() / 4);
const map = phasedCosines({ d, m, seed: 3 });
const features = map.map(x);
const trained = Float64Array.from({ length: 4096 }, () => normal() / 7);

/**
 * Features and frequencies: ‖K̂_b − K̂‖_F / ‖K̂‖_F off the diagonal, K̂ the Gram matrix of the same map in float64.
 * Weights: relative root mean square of ŵ − w, w Gaussian.
 */
export function schemeError(scheme: Scheme, bits: number, seed = 0): number {
  if (scheme.of === 'weights') {
    return relRMS(dequantize(quantize(trained, { scheme, bits, rows: 1, cols: trained.length })), trained);
  }
  if (scheme.of === 'frequencies') {
    const omega = dequantize(quantize(map.omega, { scheme, bits, rows: m, cols: d }));
    const low = phasedCosines({ d, m, seed: 3, omega }).map(x);
    return relRMS(offDiagonal(low, low), offDiagonal(features, features));
  }
  const keys = dequantize(quantize(features, { scheme, bits, rows: n, cols: m, range: map.range, seed }));
  return relRMS(offDiagonal(scheme.sides === 'keys' ? features : keys, keys), offDiagonal(features, features));
}

function offDiagonal(a: Float64Array, b: Float64Array): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      if (i === j) continue;
      for (let r = 0; r < m; r++) out[i * n + j] += a[i * m + r] * b[j * m + r];
    }
  }
  return out;
}
