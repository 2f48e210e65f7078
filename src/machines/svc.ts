/**
 * Support vector classification by dual coordinate descent (Hsieh et al. 2008, "A dual coordinate descent method for large-scale
 * linear SVM", Algorithm 3 with its shrinking), hinge loss, one class against the rest:
 *   min over 0 ≤ αᵢ ≤ C of  ½ Σᵢⱼ αᵢαⱼ yᵢyⱼ (Kᵢⱼ + 1) − Σᵢ αᵢ,   G = yᵢ fᵢ − 1,   αᵢ ← clip(αᵢ − G / (Kᵢᵢ + 1), 0, C)
 * With an indefinite K the dual is not convex; the same steps reach a point where no coordinate can do better, a stationary point
 * (Ong et al. 2004, "Learning with non-positive kernels": the problem is stationary in the Krein space, not minimal). Where Kᵢᵢ + 1 ≤ 0 a
 * coordinate's own problem is concave and its best end is taken. Exact kernel and features are solved alike, from α = 0.
 *
 * Numerics: float64; stops when the projected gradients of all rows lie within `tolerance`, and says so (`converged`).
 *
 * Shapes: K [n,n] or Φ [n,M] (quadratic.ts), labels [n] → a classifier; `classify` gives the labels [p] of p rows.
 * Cost: an epoch reads f once a row still in play, and changes β of those that move: 2n or 4M flops each (quadratic.ts). Rows at a bound that
 * stay there are skipped until the end. 8n bytes a class for α beside those of the form.
 */
import { streamSeed, uniforms } from '../features/rng.js';
import { checkPositive, checkTargets, decide, type QuadraticForm, wrong } from './quadratic.js';

export interface SvcOptions {
  /** Upper bound of α. Default 1. */
  readonly c?: number;
  /** Spread of the projected gradients at which to stop. Default 0.01. */
  readonly tolerance?: number;
  /** Default 1000. */
  readonly maxEpochs?: number;
  /** Of the order in which rows are visited. Default 0. */
  readonly seed?: number;
}

export interface Classifier {
  /** The labels met in training, rising. */
  readonly classes: Int32Array;
  /** One a class. */
  readonly solutions: readonly Float64Array[];
  readonly epochs: number;
  /** Every class's problem ended within its tolerance. */
  readonly converged: boolean;
}

/**
 * Labels are integers, two kinds at least.
 * @throws PerformersError PF423 for labels, C or tolerance that are none
 */
export function trainClassifier(form: QuadraticForm, labels: ArrayLike<number>, options: SvcOptions = {}): Classifier {
  const given = checkTargets('labels', labels, form.n);
  const bad = given.findIndex((label) => !Number.isInteger(label));
  if (bad >= 0)
    throw wrong('labels', `labels[${bad}] must be an integer, got ${given[bad]}`, 'number the classes 0, 1, 2, …');
  const classes = Int32Array.from(new Set(given)).sort();
  if (classes.length < 2)
    throw wrong('labels', `labels must hold two classes, got ${classes.length}`, 'train on rows of both classes');
  // Two classes are one problem seen from both sides.
  const runs = Array.from(classes.length === 2 ? classes.slice(1) : classes, (positive) => {
    const y = given.map((label) => (label === positive ? 1 : -1));
    return { ...solveBinary(form, y, options), solution: form.solution() };
  });
  return {
    classes,
    solutions: runs.map(({ solution }) => solution),
    epochs: runs.reduce((sum, { epochs }) => sum + epochs, 0),
    converged: runs.every(({ converged }) => converged),
  };
}

/** Labels of test rows: K(test, train) [p,n] or features [p,M], as `kind` says. */
export function classify(
  { classes, solutions }: Classifier,
  rows: ArrayLike<number>,
  kind: 'gram' | 'features',
): Int32Array {
  const values = decide(rows, solutions, kind);
  const count = solutions.length;
  return Int32Array.from({ length: values.length / count }, (_, i) => {
    if (count === 1) return classes[values[i] > 0 ? 1 : 0];
    let best = 0;
    for (let c = 1; c < count; c++) if (values[i * count + c] > values[i * count + best]) best = c;
    return classes[best];
  });
}

/** Share of labels that agree. */
export function accuracy(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let right = 0;
  for (let i = 0; i < want.length; i++) if (got[i] === want[i]) right++;
  return right / want.length;
}

/** α of one problem with y = ±1; leaves β = αy in the form. */
export function solveBinary(form: QuadraticForm, y: Float64Array, options: SvcOptions = {}) {
  const { c = 1, tolerance = 0.01, maxEpochs = 1000, seed = 0 } = options;
  checkPositive('c', c);
  checkPositive('tolerance', tolerance);
  checkPositive('maxEpochs', maxEpochs);
  const { n, diagonal } = form;
  form.reset();
  const alpha = new Float64Array(n);
  const rows = Int32Array.from({ length: n }, (_, i) => i);
  const uniform = uniforms(streamSeed(seed, 0));
  let active = n;
  let [highest, lowest] = [Infinity, -Infinity]; // of the last epoch's projected gradients: the bounds of shrinking
  for (let epoch = 1; epoch <= maxEpochs; epoch++) {
    shuffle(rows, active, uniform);
    let [most, least] = [-Infinity, Infinity];
    for (let s = 0; s < active; s++) {
      const i = rows[s];
      const gradient = y[i] * form.read(i) - 1;
      const stays = (alpha[i] === 0 && gradient > highest) || (alpha[i] === c && gradient < lowest);
      if (stays) {
        active--;
        [rows[s], rows[active]] = [rows[active], rows[s]];
        s--;
        continue;
      }
      const projected = alpha[i] === 0 ? Math.min(gradient, 0) : alpha[i] === c ? Math.max(gradient, 0) : gradient;
      most = Math.max(most, projected);
      least = Math.min(least, projected);
      if (projected === 0) continue;
      const next = bestCoordinate(alpha[i], gradient, diagonal[i], c);
      if (next !== alpha[i]) form.change(i, (next - alpha[i]) * y[i]);
      alpha[i] = next;
    }
    // An epoch that shrank every row away has nothing left to improve: all come back.
    if (active === 0 || most - least <= tolerance) {
      if (active === n) return { alpha, epochs: epoch, converged: true };
      active = n;
      [highest, lowest] = [Infinity, -Infinity];
    } else {
      highest = most > 0 ? most : Infinity;
      lowest = least < 0 ? least : -Infinity;
    }
  }
  return { alpha, epochs: maxEpochs, converged: false };
}

/** The least of ½h(a − α)² + G(a − α) over [0, C]. */
function bestCoordinate(alpha: number, gradient: number, h: number, c: number): number {
  if (h > 1e-12) return Math.min(Math.max(alpha - gradient / h, 0), c);
  const at = (a: number) => 0.5 * h * (a - alpha) ** 2 + gradient * (a - alpha);
  return at(0) < at(c) ? 0 : c;
}

/** Fisher and Yates, of the first `count`. */
export function shuffle(rows: Int32Array, count: number, uniform: () => number): void {
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1));
    [rows[i], rows[j]] = [rows[j], rows[i]];
  }
}
