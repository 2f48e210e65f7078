/**
 * Φ(x), the distribution function of N(0, 1). Inside |x| < 3 by its series at 0 (Marsaglia 2004, "Evaluating the Normal
 * Distribution"): Φ = ½ + φ(x) Σ x^{2k+1}/(2k+1)!!, all terms of one sign. Outside by the continued fraction of Mills' ratio
 * (Laplace 1805): Φ(−x) = φ(x) / (x + 1/(x + 2/(x + 3/…))). Relative error below 1e-13 down to x = −37.
 */
export function normalCdf(x: number): number {
  const density = Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
  const size = Math.abs(x);
  if (size < 3) {
    let sum = 0;
    for (let term = x, k = 1; Math.abs(term) > 1e-18 * Math.abs(sum); k += 2, term *= (x * x) / k) sum += term;
    return 0.5 + density * sum;
  }
  let fraction = size;
  for (let k = 60; k >= 1; k--) fraction = size + k / fraction;
  return x < 0 ? density / fraction : 1 - density / fraction;
}
