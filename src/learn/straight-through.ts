/**
 * The straight-through estimator (Bengio, Léonard and Courville 2013, section 4; METHODS D.2): a layer computes with quantised weights,
 * and the gradient of each is given to the weight behind it, or to none where it was clipped:
 *   forward ŵ = scale·levels[code] of quant/weights.ts,   backward ∂L/∂w = ∂L/∂ŵ · 1[|w| ≤ c]
 * At 1 bit the clip is 3 root mean squares: weights that far from changing sign are left where they are.
 */
import { weightClips } from '../quant/weights.js';
import type { Jax, JaxArray } from './peer.js';

/** ŵ; 32 bits are w itself. Consumes w. */
export function straightThrough({ numpy: np, lax }: Jax, w: JaxArray, bits: number): JaxArray {
  if (bits === 32) return w;
  const size = lax.stopGradient(np.sqrt(np.mean(np.square(w.ref))));
  const clip = size.mul(weightClips[bits] ?? 3);
  const inside = np.minimum(np.maximum(w.ref, clip.ref.mul(-1)), clip.ref);
  let quantised: JaxArray;
  if (bits === 1) {
    clip.dispose();
    const scale = np.mean(np.abs(w.ref));
    quantised = np.where(np.greaterEqual(w, 0), scale.ref, scale.mul(-1));
  } else {
    w.dispose();
    const step = clip.div(2 ** (bits - 1) - 1);
    quantised = np.rint(inside.ref.div(step.ref)).mul(step);
  }
  return lax.stopGradient(quantised.sub(inside.ref)).add(inside);
}
