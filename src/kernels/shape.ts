/** What the wrappers of kernels share: checks of arrays, and how many numbers a thread takes at a time. */
import { PerformersError } from '../errors.js';
import type { ElementType, GpuArray } from './array.js';
import type { Gpu } from './gpu.js';

/** @throws PerformersError PF706 naming everything that is wrong */
export function refuse(kernel: string, wrong: readonly (string | undefined)[]): void {
  const faults = wrong.filter((fault) => fault !== undefined);
  if (faults.length === 0) return;
  throw new PerformersError('PF706', faults.join('; '), {
    at: kernel,
    mend: 'pass row-major arrays of these shapes, and options within these ranges',
  });
}

/**
 * Arrays by name, each as 'type axes', or several forms of axes: 'f32 B,S B,G,S'. The type `elem` is that of q, which is f32 or f16. Arrays are checked
 * by these, and cut (pieces.ts).
 */
export type Shapes = Readonly<Record<string, string>>;

/** Sizes and arrays by name. Where G is not given it is H, and S is N. */
export interface Layer {
  readonly B: number;
  readonly H: number;
  readonly G?: number;
  readonly N: number;
  readonly q: GpuArray;
}

/** An array of a layer. */
interface Found {
  readonly name: string;
  readonly array: GpuArray;
  readonly types: readonly string[];
  /** The axes it may have, and the sizes they are of. */
  readonly forms: readonly { readonly axes: string; readonly size: readonly number[] }[];
}

/** Those of the arrays that are there. */
export function arraysOf(input: Layer, shapes: Shapes): Found[] {
  const { H, G = H, N, q } = input;
  const given: Readonly<Record<string, unknown>> = { S: N, ...input, G };
  return Object.entries(shapes).flatMap(([name, shape]) => {
    const array = given[name] as GpuArray | undefined;
    if (!array) return [];
    const [type, ...axes] = shape.split(' ');
    const types = type !== 'elem' ? [type] : name === 'q' ? ['f32', 'f16'] : [q.type];
    const forms = axes.map((axes) => ({ axes, size: axes.split(',').map((axis) => given[axis] as number) }));
    return [{ name, array, types, forms }];
  });
}

export function holds({ length }: GpuArray, size: readonly number[]): boolean {
  return size.reduce((product, size) => product * size, 1) === length;
}

/** What is wrong with the sizes and arrays of a layer. */
export function layerFaults(input: Layer, shapes: Shapes): (string | undefined)[] {
  const { H, G = H } = input;
  const sizes = Object.entries({ ...input, G }).filter(([name]) => /^[A-Z]$/.test(name));
  return [
    ...sizes.map(([name, value]) => wholeFault(name, Number(value), 1, /[DE]/.test(name) ? 256 : 2 ** 31)),
    H % G === 0 ? undefined : `H must be a multiple of G, got ${H} and ${G}`,
    ...arraysOf(input, shapes).map(({ name, array, types, forms }) => {
      if (!types.includes(array.type)) return `${name} must be ${types.join(' or ')}, is ${array.type}`;
      if (forms.some(({ size }) => holds(array, size))) return undefined;
      const wanted = forms.map(({ axes, size }) => `[${axes}] = [${size}]`).join(' or ');
      return `${name} must hold ${wanted}, has ${array.length} numbers`;
    }),
  ];
}

/** What is wrong with a number that should be whole and within bounds, or undefined. */
export function wholeFault(name: string, value: number, least: number, most: number): string | undefined {
  if (Number.isInteger(value) && value >= least && value <= most) return undefined;
  return `${name} must be a whole number from ${least} to ${most}, got ${value}`;
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
