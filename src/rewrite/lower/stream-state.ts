import type { Site } from '../site.js';
import { numberOption, type Options } from './lowering.js';

/** Between two calls, of the heads of a group; c = sinks + globals. */
export interface State {
  /** The window that the next query will have [B,H,w,D] and [B,H,w,E]. */
  readonly keys: string;
  readonly values: string;
  /** Globals as rows [k | v | 1 | score | code] of width W [B,H,c,W]; empty where there are none. */
  readonly globals: string;
  /** Sums of the rows of everything evicted, globals too, by code [B,H,C,W]; of score and code they mean nothing. */
  readonly sums: string;
}

/** Sizes of a state's parts for one row of the batch, in their order. */
export function stateShape({ headDim: D, valueDim: E }: Site, heads: number, options: Options) {
  const { window, chosen, codes } = sizes(options);
  return {
    keys: [heads, window, D],
    values: [heads, window, E],
    globals: [heads, chosen, D + E + 3],
    sums: [heads, codes, D + E + 3],
  } satisfies Record<keyof State, readonly number[]>;
}

export function sizes(options: Options) {
  const [globals, sinks] = [numberOption(options, 'globals'), numberOption(options, 'sinks')];
  const [window, codes] = [numberOption(options, 'window'), numberOption(options, 'codes')];
  return { window, globals, sinks, chosen: globals + sinks, codes };
}
