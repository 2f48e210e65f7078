/** The classifier of features, by whichever form of its dual is cheaper; both take the same steps. */
import { signedGram } from '../features/signed/signed-map.js';
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
  const model = trainClassifier(gramForm(signedGram(signs, rows)), labels, options);
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
