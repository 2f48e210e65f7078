/** Named figures over inputs, with bootstrap intervals. */
import { uniforms } from '../features/rng.js';

export interface Figure {
  readonly name: string;
  readonly value: number;
  /** 95 % interval of a mean over inputs (percentile bootstrap, Efron 1979). One input has none. */
  readonly interval?: readonly [number, number];
  /** One an input, of a mean over inputs. */
  readonly values?: readonly number[];
}

/** A mean over inputs, with its bootstrap interval. */
export function mean(name: string, values: readonly number[]): Figure {
  return { name, value: average(values), ...intervalOf(values, average), values };
}

/** A mean over everything in groups of unequal size, such as the tokens of passages; the groups are what is resampled. */
export function pooledMean(name: string, groups: readonly (readonly number[])[]): Figure {
  const held = groups.filter((group) => group.length > 0).map((group) => ({ sum: sumOf(group), count: group.length }));
  const pooled = (some: typeof held) =>
    some.reduce((sum, group) => sum + group.sum, 0) / some.reduce((sum, group) => sum + group.count, 0);
  const values = held.map(({ sum, count }) => sum / count);
  return { name, value: pooled(held), ...intervalOf(held, pooled), values };
}

const draws = 1000;

/** The 95 % interval that resampling the inputs gives. Seeded: the same every time. */
export function bootstrap<T>(inputs: readonly T[], figure: (some: T[]) => number): [number, number] {
  const random = uniforms(1);
  const resample = () => inputs.map(() => inputs[Math.floor(random() * inputs.length)]);
  const figures = Array.from({ length: draws }, () => figure(resample()));
  return [quantile(figures, 0.025), quantile(figures, 0.975)];
}

function intervalOf<T>(inputs: readonly T[], figure: (some: T[]) => number): Pick<Figure, 'interval'> {
  return inputs.length > 1 ? { interval: bootstrap(inputs, figure) } : {};
}

export function average(values: readonly number[]): number {
  return sumOf(values) / values.length;
}

function sumOf(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

/** Linear between order statistics. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}
