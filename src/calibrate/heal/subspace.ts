/**
 * Distillation in a subspace (P-SGD; Li, Tan, Huang, Tao, Liu and Huang 2022, "Low dimensional trajectory hypothesis"): that of distill.ts with
 * as many numbers as there are principal directions of a first, shorter training, 40 at most, from the same start: θ = θ₀ + Pᵀz.
 */
import { symmetricEigen } from '../../features/symmetric-eigen.js';
import { descend } from '../../learn/descend.js';
import type { SitePlan } from '../../rewrite/plan.js';
import { cut, joined } from '../flat.js';
import type { HealContext, Healed } from './context.js';
import { train } from './distill.js';

/** Of the subspace: 40 match a whole training of ResNets on CIFAR (DLDR). */
const directions = 40;

/** Trains as many numbers as a third of distill()'s training has directions. */
export function distillInSubspace(plans: readonly SitePlan[], context: HealContext): Promise<Healed> {
  return train(plans, context, async (task) => {
    const path: Float32Array[] = [];
    const { steps, rate } = task;
    const onParameters = (values: Float32Array[]) => path.push(joined(values));
    await descend(task.jax, { ...task, steps: Math.ceil(steps / 3), onParameters });
    const start = joined(task.parameters.map(({ data }) => Float32Array.from(data)));
    const basis = principalDirections(path, start, directions);
    if (basis.length === 0) return task.parameters.map(({ data }) => Float32Array.from(data));
    const sizes = task.parameters.map(({ data }) => data.length);
    const along = (from: ArrayLike<number>) => cut(Float32Array.from(from), sizes);
    const rows = basis.map(along);
    const { jax } = task;
    const { numpy: np } = jax;
    const [moved] = await descend(jax, {
      parameters: [{ shape: [1, basis.length], data: new Float32Array(basis.length) }],
      loss: ([z], inputs) => {
        const values = task.parameters.map(({ data, shape }, i) => {
          const matrix = new Float32Array(basis.length * sizes[i]);
          for (const [b, row] of rows.entries()) matrix.set(row[i], b * sizes[i]);
          const step = np.matmul(z.ref, np.array(matrix, { shape: [basis.length, sizes[i]] }));
          return step.reshape([...shape]).add(np.array(Float32Array.from(data), { shape: [...shape] }));
        });
        z.dispose();
        return task.loss(values, inputs);
      },
      batch: task.batch,
      steps: Math.ceil(steps / 3),
      // A step of each number is as long as one of all the parameters of the first training.
      rate: rate * Math.sqrt(start.length / basis.length),
      onStep: task.onStep,
    });
    const end = Float64Array.from(start);
    for (const [b, row] of basis.entries()) for (let i = 0; i < end.length; i++) end[i] += moved[b] * row[i];
    return along(end);
  });
}

/** Orthonormal directions of a path from `start`, the longest first, by the Gram matrix of its points. */
export function principalDirections(path: readonly Float32Array[], start: Float32Array, most: number): Float64Array[] {
  const moves = path.map((point) => Float64Array.from(point, (x, i) => x - start[i]));
  const t = moves.length;
  const gram = new Float64Array(t * t);
  for (let a = 0; a < t; a++)
    for (let b = 0; b <= a; b++) {
      let sum = 0;
      for (let i = 0; i < start.length; i++) sum += moves[a][i] * moves[b][i];
      gram[a * t + b] = gram[b * t + a] = sum;
    }
  const { values, vectors } = symmetricEigen(gram, t);
  const some = values.filter((value, l) => l < most && value > 1e-10 * values[0]);
  return Array.from(some, (value, l) => {
    const row = new Float64Array(start.length);
    for (let a = 0; a < t; a++)
      for (let i = 0; i < row.length; i++) row[i] += (vectors[l * t + a] * moves[a][i]) / Math.sqrt(value);
    return row;
  });
}
