/** What the wrappers of kernels share: checks of arrays, and how many numbers a thread takes at a time. */
import { PerformersError } from '../errors.js';
import { bytesOf, type ElementType, type GpuArray } from './array.js';
import type { Gpu } from './gpu.js';
import type { Recording, Slice } from './record.js';

/** @throws PerformersError PF706 naming everything that is wrong */
export function refuse(kernel: string, wrong: readonly (string | undefined)[]): void {
  const faults = wrong.filter((fault) => fault !== undefined);
  if (faults.length === 0) return;
  throw new PerformersError('PF706', faults.join('; '), {
    at: kernel,
    mend: 'pass row-major arrays of these shapes, and options within these ranges',
  });
}

/** What is wrong with an array that should hold one of these shapes, or undefined. */
export function arrayFault(
  name: string,
  { length, type }: GpuArray,
  types: readonly ElementType[],
  ...shapes: readonly { readonly axes: string; readonly size: readonly number[] }[]
): string | undefined {
  if (!types.includes(type)) return `${name} must be ${types.join(' or ')}, is ${type}`;
  if (shapes.some(({ size }) => product(size) === length)) return undefined;
  const wanted = shapes.map(({ axes, size }) => `${axes} = [${size.join(',')}]`).join(' or ');
  return `${name} must hold ${wanted}, has ${length} numbers`;
}

/** What is wrong with a number that should be whole and within bounds, or undefined. */
export function wholeFault(name: string, value: number, least: number, most: number): string | undefined {
  if (Number.isInteger(value) && value >= least && value <= most) return undefined;
  return `${name} must be a whole number from ${least} to ${most}, got ${value}`;
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((product, size) => product * size, 1);
}

/** Types of kernels that read LANES numbers at a time: 4 where all widths are whole numbers of 4. */
export function lanesOf(widths: readonly number[], stored: ElementType, result: ElementType) {
  const wide = widths.every((width) => width % 4 === 0);
  const of = (type: ElementType) => (wide ? `vec4<${type}>` : type);
  return { LANES: wide ? 4 : 1, quad: of(stored), sums: of('f32'), result: of(result) };
}

/** So many keys of `bytes` each fit into workgroup memory, a power of two of at most `most`. */
export function tileOf(gpu: Gpu, bytes: number, most: number): number {
  const fits = Math.floor((gpu.limits.workgroupBytes - 2048) / bytes);
  return 2 ** Math.floor(Math.log2(Math.max(1, Math.min(most, fits))));
}

/** What a kernel variant that does not read a binding is given for it: the beginning of some array it reads anyway. */
export function unread({ array }: Slice): Slice {
  return { array, offset: array.offset ?? 0, bytes: Math.min(16, array.buffer.size), base: 0 };
}

/**
 * All units at once where every array fits a binding, else one after another. Arrays hold [units,…].
 *
 * @throws PerformersError PF706 where one unit of an array is larger than a binding
 */
export function eachUnit(
  { gpu }: Recording,
  kernel: string,
  units: number,
  arrays: readonly GpuArray[],
  record: (first: number, units: number) => void,
): void {
  const most = gpu.limits.bindingBytes - 512;
  const largest = Math.max(...arrays.map(({ length, type }) => length * bytesOf[type]));
  if (largest <= most) {
    record(0, units);
    return;
  }
  refuse(kernel, [
    largest / units > most ? `one head takes ${largest / units} bytes of an array; a binding holds ${most}` : undefined,
  ]);
  for (let unit = 0; unit < units; unit++) record(unit, 1);
}
