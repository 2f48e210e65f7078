import type { Kernel } from '../../../src/features/kernels/kernel.js';
import { gaussians, uniforms } from '../../../src/features/rng.js';

/** Seeded rows [n,d] where the kernel lives: N(0, 1) on the unit sphere, or uniform in [0, 1]^d. */
export function rowsFor({ d, domain }: Pick<Kernel, 'd' | 'domain'>, n: number, seed: number): Float64Array {
  const draw = domain === 'sphere' ? gaussians(seed) : uniforms(seed);
  const rows = Float64Array.from({ length: n * d }, draw);
  return domain === 'sphere' ? onSphere(rows, d) : rows;
}

/** Rows of one orthant of the sphere, as min-max scaled data are once normalised: near one another. */
export function orthantRows(d: number, n: number, seed: number): Float64Array {
  return onSphere(Float64Array.from({ length: n * d }, uniforms(seed)), d);
}

function onSphere(rows: Float64Array, d: number): Float64Array {
  for (let i = 0; i < rows.length; i += d) {
    const row = rows.subarray(i, i + d);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    for (let l = 0; l < d; l++) row[l] /= length;
  }
  return rows;
}
