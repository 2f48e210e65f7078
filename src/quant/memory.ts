/**
 * The memory law of a deep kernel network (METHODS D.1): layer 1 has d·D frequencies, layers 2…l have 2D·D, because a layer of D
 * frequencies gives the 2D features cos and sin. At b bits a number
 *   bits(b, D) = b (2D²(l − 1) + dD),   so that at equal memory D grows as √(32 / b) for l ≥ 2 and as 32 / b for l = 1
 * To be what a file takes, this counts as well: a float32 scale and a float32 gain a layer, the head (2D + 1 numbers a class, its weights at
 * `headBits`), and whole bytes a matrix.
 */
import { PerformersError } from '../errors.js';
import { packedBytes } from './pack.js';

export interface DeepKernelShape {
  /** d, width of an input row. */
  readonly inputs: number;
  /** D, frequencies a layer. */
  readonly width: number;
  /** l, random-feature layers. */
  readonly depth: number;
  /** Classes, or numbers to be regressed. */
  readonly outputs: number;
}

/** Numbers of each layer's matrix: [d·D, 2D², 2D², …]. */
export function layerNumbers({ inputs, width, depth }: DeepKernelShape): number[] {
  return Array.from({ length: depth }, (_, layer) => (layer === 0 ? inputs : 2 * width) * width);
}

/** Bytes of a network whose layer l is stored at bits[l]; 32 is float32. The head is stored at max(8, bits of the last layer). */
export function deepKernelBytes(shape: DeepKernelShape, bits: readonly number[]): number {
  const matrices = layerNumbers(shape).reduce((sum, count, layer) => sum + matrixBytes(count, bits[layer]) + 4, 0);
  return matrices + matrixBytes(2 * shape.width * shape.outputs, headBits(bits)) + 4 * shape.outputs;
}

/** The head decides with what is left of the input: 8 bits of it are nearly free, fewer are not. */
export function headBits(bits: readonly number[]): number {
  return Math.max(8, bits[bits.length - 1]);
}

/**
 * The largest width whose network fits into `budget` bytes.
 * @throws PerformersError PF422 when not even width 1 does
 */
export function widthForBudget(shape: Omit<DeepKernelShape, 'width'>, bits: readonly number[], budget: number): number {
  const bytes = (width: number) => deepKernelBytes({ ...shape, width }, bits);
  if (!(bytes(1) <= budget)) {
    throw new PerformersError('PF422', `${budget} bytes hold no network of width 1 at ${bits.join(', ')} bits`, {
      at: 'quant.budget',
      mend: `give at least ${bytes(1)} bytes, or lower widths`,
    });
  }
  let [low, high] = [1, 2];
  while (bytes(high) <= budget) [low, high] = [high, 2 * high];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (bytes(middle) <= budget) low = middle;
    else high = middle;
  }
  return low;
}

/** A matrix and its scale; float32 needs none. */
function matrixBytes(count: number, bits: number): number {
  return bits === 32 ? 4 * count : packedBytes(count, bits) + 4;
}
