/** The classifier of features, by whichever form of its dual is cheaper; both take the same steps. */
import { checkRows, checkSigns, featureForm, gramForm } from './quadratic.js';
import { type Classifier, type SvcOptions, trainClassifier } from './svc.js';

/**
 * Trains on features phi [n,M] with their signs; the solutions are weights of features, the bias last. Fewer rows than channels: the Gram
 * matrix is formed once for all classes (n²M + 8n² bytes), and reading f costs 1 rather than M.
 * @throws PerformersError PF423 as `trainClassifier`
 */
export function trainOnFeatures(
  phi: Float64Array,
  signs: Int8Array,
  labels: ArrayLike<number>,
  options: SvcOptions = {},
): Classifier {
  const width = signs.length;
  checkSigns(signs, width);
  const rows = checkRows(phi, width, 'features');
  const n = rows.length / width;
  if (n > width) return trainClassifier(featureForm(rows, width, signs), labels, options);
  const model = trainClassifier(gramForm(symmetricGram(signs, rows)), labels, options);
  const solutions = model.solutions.map((beta) => {
    const weights = new Float64Array(width + 1);
    for (let i = 0; i < n; i++) {
      if (beta[i] === 0) continue;
      for (let r = 0; r < width; r++) weights[r] += beta[i] * signs[r] * rows[i * width + r];
      weights[width] += beta[i];
    }
    return weights;
  });
  return { ...model, solutions };
}

/** Φ S Φᵀ [n,n]: half of the products, in four independent sums each, which is what a processor needs to keep busy. */
function symmetricGram(signs: Int8Array, phi: Float64Array): Float64Array {
  const width = signs.length;
  const n = phi.length / width;
  const out = new Float64Array(n * n);
  const signed = new Float64Array(width);
  const whole = width - (width % 4);
  for (let i = 0; i < n; i++) {
    for (let r = 0; r < width; r++) signed[r] = signs[r] * phi[i * width + r];
    for (let j = 0; j <= i; j++) {
      const at = j * width;
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let r = 0; r < whole; r += 4) {
        a += signed[r] * phi[at + r];
        b += signed[r + 1] * phi[at + r + 1];
        c += signed[r + 2] * phi[at + r + 2];
        d += signed[r + 3] * phi[at + r + 3];
      }
      for (let r = whole; r < width; r++) a += signed[r] * phi[at + r];
      out[i * n + j] = a + b + c + d;
      out[j * n + i] = out[i * n + j];
    }
  }
  return out;
}
