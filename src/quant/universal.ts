/**
 * 1-bit keys, real queries: keys store sign(cos(ω·y + β)), β uniform on [0, 2π), queries keep cos(ω·x + β). Only the
 * fundamental 4/π cos of the square wave survives the average over the phase, so that with levels ±π/4
 *   E[k̂] = k exactly,   m·Var[k̂] = π²/8 − k²   (unquantised: 1 + k(2δ)/2 − k²)
 * 32 times smaller keys than float32 for 16 % more variance near k = .7. Both sides in 1 bit estimate another kernel.
 * Zhang, Kannan, Cloninger, Saab 2021 (2106.02614), the 'universal' features of Boufounos and Rane; METHODS D.4: read in code, derived
 * and measured. Verified here: mean and variance. Needs random phases (`phasedCosines`): with the pairs cos, sin of one frequency
 * the third harmonic survives.
 *
 * Cost: one comparison a feature; ⌈nm / 8⌉ + 4 bytes for n rows of m features.
 */
import { largest, midpoints, type Scheme } from './scheme.js';

export const universal: Scheme = {
  id: 4,
  of: 'features',
  widths: [1],
  levels: () => Float64Array.of(-Math.PI / 4, Math.PI / 4),
  cuts: () => midpoints(Float64Array.of(-1, 1)),
  scale: (values, _bits, range) => range ?? largest(values),
  clips: false,
  sides: 'keys',
  unbiased: true,
  budget: { 1: 0.055 },
};
