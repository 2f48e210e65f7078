import type { FourierBlock, SignedMap } from '../../../src/features/signed/signed-map.js';

/** k̂(x, y) = φ(x)ᵀ S φ(y) for one pair, from the features of both. */
export function estimate(map: SignedMap, x: ArrayLike<number>, y: ArrayLike<number>): number {
  const [left, right] = [map.phi(x), map.phi(y)];
  let sum = 0;
  for (let r = 0; r < map.features; r++) sum += map.signs[r] * left[r] * right[r];
  return sum;
}

/** The same at difference δ [d] from the constants: c₀ + Σ a² cos(ω·δ), positive block less negative. */
export function cosines(map: SignedMap, delta: ArrayLike<number>): number {
  return blocksOf(map).reduce((total, { constant, omega, amplitude }, b) => {
    let sum = constant;
    for (let r = 0; r < amplitude.length; r++) {
      let angle = 0;
      for (let l = 0; l < delta.length; l++) angle += omega[r * delta.length + l] * delta[l];
      sum += amplitude[r] ** 2 * Math.cos(angle);
    }
    return total + (b === 0 ? sum : -sum);
  }, 0);
}

/** The positive and the negative block of a map, or a refusal to go on without. */
export function blocksOf(map: SignedMap): readonly FourierBlock[] {
  if (!map.fourier) throw new Error('not a Fourier map');
  return [map.fourier.positive, map.fourier.negative];
}
