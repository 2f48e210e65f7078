/**
 * Support vector regression by dual coordinate descent (Ho and Lin 2012, "Large-scale linear support vector regression",
 * Algorithm 4), ε-insensitive loss:
 *   min over |βᵢ| ≤ C of  ½ Σᵢⱼ βᵢβⱼ (Kᵢⱼ + 1) − Σᵢ yᵢβᵢ + ε Σᵢ |βᵢ|
 * A coordinate's own problem is ½hδ² + (fᵢ − yᵢ)δ + ε|βᵢ + δ|: a soft threshold, then the box. Indefinite K as in svc.ts.
 *
 * Numerics: float64; stops when no coordinate moves f by more than `tolerance`.
 *
 * Shapes: K [n,n] or Φ [n,M] (quadratic.ts), targets [n] → f [p] of p rows.
 * Cost: an epoch reads f once a row: 2n or 4M flops a row that moves; 8n bytes for β beside those of the form.
 */
import { streamSeed, uniforms } from '../features/rng.js';
import { checkPositive, checkTargets, decide, type QuadraticForm, wrong } from './quadratic.js';
import { type SvcOptions, shuffle } from './svc.js';

export interface SvrOptions extends SvcOptions {
  /** Errors up to this cost nothing. Default 0.1. */
  readonly epsilon?: number;
}

export interface Regressor {
  readonly solutions: readonly Float64Array[];
  readonly epochs: number;
  readonly converged: boolean;
}

/** @throws PerformersError PF423 for targets, C, tolerance or epsilon that are none */
export function trainRegressor(form: QuadraticForm, targets: ArrayLike<number>, options: SvrOptions = {}): Regressor {
  const { c = 1, tolerance = 0.01, maxEpochs = 1000, seed = 0, epsilon = 0.1 } = options;
  const y = checkTargets('targets', targets, form.n);
  checkPositive('c', c);
  checkPositive('tolerance', tolerance);
  checkPositive('maxEpochs', maxEpochs);
  if (!(epsilon >= 0 && Number.isFinite(epsilon))) {
    throw wrong('epsilon', `epsilon must be a number from 0 up, got ${epsilon}`, 'use epsilon = 0.1');
  }
  form.reset();
  const beta = new Float64Array(form.n);
  const rows = Int32Array.from({ length: form.n }, (_, i) => i);
  const uniform = uniforms(streamSeed(seed, 0));
  const finish = (epochs: number, converged: boolean) => ({ solutions: [form.solution()], epochs, converged });
  for (let epoch = 1; epoch <= maxEpochs; epoch++) {
    shuffle(rows, form.n, uniform);
    let moved = 0;
    for (const i of rows) {
      const h = form.diagonal[i];
      const gradient = form.read(i) - y[i];
      const next = bestCoordinate(beta[i], gradient, h, epsilon, c);
      if (next === beta[i]) continue;
      moved = Math.max(moved, Math.abs((next - beta[i]) * h));
      form.change(i, next - beta[i]);
      beta[i] = next;
    }
    if (moved <= tolerance) return finish(epoch, true);
  }
  return finish(maxEpochs, false);
}

/** Predictions for test rows: K(test, train) [p,n] or features [p,M], as `kind` says. */
export function regress({ solutions }: Regressor, rows: ArrayLike<number>, kind: 'gram' | 'features'): Float64Array {
  return decide(rows, solutions, kind);
}

/** The least of ½h(b − β)² + G(b − β) + ε|b| over [−C, C]: one of its stationary points, ends or the kink. */
function bestCoordinate(beta: number, gradient: number, h: number, epsilon: number, c: number): number {
  const at = (b: number) => 0.5 * h * (b - beta) ** 2 + gradient * (b - beta) + epsilon * Math.abs(b);
  if (h > 1e-12) {
    const free = beta - gradient / h;
    const threshold = epsilon / h;
    return Math.min(Math.max(Math.sign(free) * Math.max(Math.abs(free) - threshold, 0), -c), c);
  }
  return [-c, 0, c].reduce((best, b) => (at(b) < at(best) ? b : best));
}
