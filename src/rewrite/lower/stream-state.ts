import type { Options } from '../plan-options.js';
import type { Site } from '../site.js';
import { numberOption } from './lowering.js';

/** Between two calls, of the heads of a group. */
export interface State {
  /** The window that the next query will have [B,H,w,D] and [B,H,w,E]. */
  readonly keys: string;
  readonly values: string;
  /** hybrid-causal.ts, c = sinks + globals: rows [k | v | 1 | score | code] of width W [B,H,c,W]. Empty where there are none. */
  readonly globals: string;
  /**
   * Of everything that has left the window. hybrid-causal.ts: sums of the rows, those of globals too, by code [B,H,C,W]; of score
   * and code they mean nothing. features-causal.ts: of every feature its mean value and the log of its mass [B,H,M,E + 1].
   */
  readonly sums: string;
}

/** Sizes of a state's parts for one row of the batch, in their order. */
export type StateShape = Readonly<Record<keyof State, readonly number[]>>;

/** Of hybrid-causal. */
export function stateShape({ headDim: D, valueDim: E }: Site, heads: number, options: Options): StateShape {
  const { window, chosen, codes } = sizes(options);
  return {
    keys: [heads, window, D],
    values: [heads, window, E],
    globals: [heads, chosen, D + E + 3],
    sums: [heads, codes, D + E + 3],
  };
}

export function sizes(options: Options) {
  const [globals, sinks] = [numberOption(options, 'globals'), numberOption(options, 'sinks')];
  const [window, codes] = [numberOption(options, 'window'), numberOption(options, 'codes')];
  return { window, globals, sinks, chosen: globals + sinks, codes };
}
