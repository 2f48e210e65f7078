/**
 * Arc-cosine kernels of order 0 and 1 on the unit sphere (Cho and Saul 2009, eq. 1–6, normalised to k(x, x) = 1), and the
 * neural tangent kernel they make for a two-layer ReLU network trained in both layers (Bietti and Mairal 2019, section 3.1):
 *   κ₀ = 1 − θ/π,   κ₁ = (sin θ + (π − θ) cos θ)/π,   NTK = cos θ κ₀ + κ₁,   cos θ = x·y
 * All three are positive definite on the sphere: their series in u = x·y has no negative coefficient (bₖ = C(2k,k)/4ᵏ):
 *   κ₀ = ½ + Σ bₖ/(π(2k + 1)) u²ᵏ⁺¹,   κ₁ = u/2 + Σ bₖ/(π(2k − 1)²) u²ᵏ
 * As functions of |x − y| they are indefinite, and fitted: that is what signed features are asked to do here. Their native
 * features, √(2/m) 1[ω·x > 0] and √(2/m) relu(ω·x), are better where one kernel must be approximated and no other.
 * κ₀ and the NTK have a kink at θ = 0, which costs mass.
 *
 * Shapes: x, y [d] → k; `gram` of rows [n,d] and [p,d] → K [n,p].
 * Numerics: float64; cos θ is clamped to [−1, 1]; near θ = 0 acos loses half the digits, k about 1e-8.
 * Cost: 2d + 30 flops a pair; K takes 8np bytes.
 */
import { checkParameters, dot, type Kernel, type Profile } from './kernel.js';

export interface SphereOptions {
  readonly d: number;
}

/** κ₀. @throws PerformersError PF202 for d < 1 */
export function arcCosine0({ d }: SphereOptions): Kernel {
  return zonal('arc-cosine-0', d, kappa0, coefficient0);
}

/** κ₁. @throws PerformersError PF202 for d < 1 */
export function arcCosine1({ d }: SphereOptions): Kernel {
  return zonal('arc-cosine-1', d, kappa1, coefficient1);
}

/** u κ₀ + κ₁, 2 at x = y. @throws PerformersError PF202 for d < 1 */
export function ntk({ d }: SphereOptions): Kernel {
  return zonal(
    'ntk',
    d,
    (u) => u * kappa0(u) + kappa1(u),
    (n) => (n === 0 ? 0 : coefficient0(n - 1)) + coefficient1(n),
  );
}

/** A kernel f(x·y) on the unit sphere, |x − y|² = 2 − 2x·y. */
function zonal(name: string, d: number, f: (u: number) => number, coefficient: (n: number) => number): Kernel {
  checkParameters(name, d, {});
  const clamped = (u: number) => f(Math.min(1, Math.max(-1, u)));
  const profile: Profile = { norm: 2, range: 2, of: (t) => clamped(1 - (t * t) / 2) };
  return {
    name,
    d,
    domain: 'sphere',
    value: (x, y) => clamped(dot(x, y)),
    profile,
    series: [{ degree: Infinity, coefficient }],
  };
}

function kappa0(u: number): number {
  return 1 - Math.acos(u) / Math.PI;
}

function kappa1(u: number): number {
  return (Math.sqrt(1 - u * u) + (Math.PI - Math.acos(u)) * u) / Math.PI;
}

function coefficient0(n: number): number {
  if (n % 2 === 0) return n === 0 ? 0.5 : 0;
  return central((n - 1) / 2) / (Math.PI * n);
}

function coefficient1(n: number): number {
  if (n % 2 === 1) return n === 1 ? 0.5 : 0;
  return central(n / 2) / (Math.PI * (n - 1) ** 2);
}

/** bₖ = C(2k, k)/4ᵏ */
function central(k: number): number {
  let value = 1;
  for (let i = 1; i <= k; i++) value *= (2 * i - 1) / (2 * i);
  return value;
}
