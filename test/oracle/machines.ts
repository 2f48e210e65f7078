/** Kernel machines from their definitions: float64, naive, nothing shared with src/. */

/** Largest violation of the conditions of a stationary point of the SVC dual with Q = yyᵀ(K + 1): 0 at a solution. */
export function svcViolation(gram: Float64Array, y: ArrayLike<number>, alpha: ArrayLike<number>, c: number): number {
  const n = y.length;
  let worst = 0;
  for (let i = 0; i < n; i++) {
    let gradient = -1;
    for (let j = 0; j < n; j++) gradient += y[i] * y[j] * (gram[i * n + j] + 1) * alpha[j];
    const violation =
      alpha[i] <= 0 ? Math.max(0, -gradient) : alpha[i] >= c ? Math.max(0, gradient) : Math.abs(gradient);
    worst = Math.max(worst, violation, -alpha[i], alpha[i] - c);
  }
  return worst;
}

/** Σ α − ½ αᵀQα, the dual to be maximised; and the primal ½|f|² + C Σ max(0, 1 − yf) of the same point. */
export function svcObjectives(gram: Float64Array, y: ArrayLike<number>, alpha: ArrayLike<number>, c: number) {
  const n = y.length;
  let [dual, norm, loss] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    let f = 0;
    for (let j = 0; j < n; j++) f += (gram[i * n + j] + 1) * alpha[j] * y[j];
    dual += alpha[i];
    norm += alpha[i] * y[i] * f;
    loss += c * Math.max(0, 1 - y[i] * f);
  }
  return { dual: dual - norm / 2, primal: norm / 2 + loss };
}

/** Largest violation of stationarity of ½βᵀ(K + 1)β − yβ + ε|β|, |β| ≤ C. */
export function svrViolation(
  gram: Float64Array,
  y: ArrayLike<number>,
  beta: ArrayLike<number>,
  epsilon: number,
  c: number,
): number {
  const n = y.length;
  let worst = 0;
  for (let i = 0; i < n; i++) {
    let gradient = -y[i];
    for (let j = 0; j < n; j++) gradient += (gram[i * n + j] + 1) * beta[j];
    // β is a sum of steps, which reaches 0 and the bounds but for rounding. The subgradient of ε|β| is ±ε, or anything between at 0; at a bound the gradient may push outwards.
    const [low, high] =
      beta[i] > 1e-12 ? [epsilon, epsilon] : beta[i] < -1e-12 ? [-epsilon, -epsilon] : [-epsilon, epsilon];
    let violation = Math.max(0, gradient + low, -(gradient + high));
    if (beta[i] >= c - 1e-12) violation = Math.max(0, gradient + low);
    if (beta[i] <= 1e-12 - c) violation = Math.max(0, -(gradient + high));
    worst = Math.max(worst, violation);
  }
  return worst;
}

/** A x for A [n,n], x [n,p]. */
export function multiply(a: ArrayLike<number>, x: ArrayLike<number>, n: number): Float64Array {
  const inner = a.length / n;
  const p = x.length / inner;
  const out = new Float64Array(n * p);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < p; j++) for (let k = 0; k < inner; k++) out[i * p + j] += a[i * inner + k] * x[k * p + j];
  return out;
}

/** K [n,p] by definition. */
export function gramOf(
  kernel: (x: readonly number[], y: readonly number[]) => number,
  x: readonly number[][],
  y = x,
): Float64Array {
  return Float64Array.from(x.flatMap((row) => y.map((other) => kernel(row, other))));
}
