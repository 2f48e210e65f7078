/**
 * Bits a layer under a memory budget, never rising with depth. Fewer bits buy width, by the law of memory.ts; what they cost follows the
 * law of low-bit features (METHODS D.4), V_q = 4(s² + s⁴), s² = Δ²/12, Δ = 2 / (2^b − 1), beside V_RF = ½ of the features
 * themselves. A layer's error is seen by every layer after it, so layer l of L counts L − l + 1 times:
 *   cost(b₁ ≥ b₂ ≥ … ≥ b_L) = (1/D) Σₗ (L − l + 1)(1 + V_q(bₗ) / V_RF),   D = the widest that fits
 * All falling sequences are tried (there are C(L + w − 1, L) of them for w widths). The law is a model: it was derived for fixed features, and
 * training repairs part of what it charges; bench/README.md has what was measured.
 */
import { PerformersError } from '../errors.js';
import { type DeepKernelShape, deepKernelBytes, widthForBudget } from './memory.js';
import { checkBits } from './pack.js';
import { weights } from './weights.js';

export interface BitPlanOptions extends Omit<DeepKernelShape, 'width'> {
  /** Bytes that all of the network may take. */
  readonly budget: number;
  /** Bits to choose from. Default 8, 4, 2, 1. */
  readonly widths?: readonly number[];
}

export interface BitPlan {
  /** Frequencies a layer. */
  readonly width: number;
  /** By layer, never rising. */
  readonly bits: readonly number[];
  readonly bytes: number;
  /** The law's cost; comparable between plans of one network. */
  readonly cost: number;
}

/** @throws PerformersError PF420 for sizes below 1 or unknown widths, PF422 when nothing fits into the budget */
export function planBits({ budget, widths = [8, 4, 2, 1], ...shape }: BitPlanOptions): BitPlan {
  for (const name of ['inputs', 'depth', 'outputs'] as const) {
    if (Number.isInteger(shape[name]) && shape[name] >= 1) continue;
    throw new PerformersError('PF420', `${name} must be an integer >= 1, got ${shape[name]}`, {
      at: `quant.${name}`,
      mend: 'give the width of the input, the number of layers and the number of outputs',
    });
  }
  if (widths.length === 0) {
    throw new PerformersError('PF420', 'widths must name at least one width', {
      at: 'quant.widths',
      mend: 'use 8, 4, 1',
    });
  }
  for (const bits of widths) checkBits(bits, [...weights.widths, 32]);
  const plans = fallingSequences(
    [...widths].sort((a, b) => b - a),
    shape.depth,
  ).flatMap((bits) => {
    if (!(deepKernelBytes({ ...shape, width: 1 }, bits) <= budget)) return [];
    const width = widthForBudget(shape, bits, budget);
    return { width, bits, bytes: deepKernelBytes({ ...shape, width }, bits), cost: lawCost(width, bits) };
  });
  if (plans.length === 0) {
    const least = Array.from({ length: shape.depth }, () => Math.min(...widths));
    throw new PerformersError('PF422', `${budget} bytes hold no network of width 1 at ${least.join(', ')} bits`, {
      at: 'quant.budget',
      mend: `give at least ${deepKernelBytes({ ...shape, width: 1 }, least)} bytes`,
    });
  }
  return plans.reduce((best, plan) => (plan.cost < best.cost ? plan : best));
}

/** The law above; bench/features draws it beside what was measured. */
export function lawCost(width: number, bits: readonly number[]): number {
  return bits.reduce((sum, b, layer) => sum + (bits.length - layer) * (1 + quantisationVariance(b) / 0.5), 0) / width;
}

function quantisationVariance(bits: number): number {
  const square = (2 / (2 ** bits - 1)) ** 2 / 12;
  return 4 * (square + square ** 2);
}

function fallingSequences(widths: readonly number[], length: number): number[][] {
  if (length === 0) return [[]];
  return widths.flatMap((bits, i) => fallingSequences(widths.slice(i), length - 1).map((rest) => [bits, ...rest]));
}
