import type { Builder } from '../../onnx/build.js';
import type { Options } from '../plan-options.js';
import type { Site } from '../site.js';

/**
 * The tensors a lowering reads, as names of values in the graph under construction. Layouts are fixed here once, so
 * that no lowering knows how a model stores its heads.
 */
export interface Inputs {
  /** [B,H,N,D], [B,H,S,D], [B,H,S,E], float32 or float16; q and k carry the factors `scaled` of their site. */
  readonly q: string;
  readonly k: string;
  readonly v: string;
  /** kᵀ [B,H,D,S]; made on first use. */
  readonly kT: () => string;
  /** k and v of each key head once [B,G,S,·], where query heads share them and the group has all heads of the site. */
  readonly byKeyHead?: () => { readonly k: string; readonly v: string };
  /** Additive, on the key alone, finite: [B or 1, 1, 1, S]. */
  readonly keyBias?: string;
  /** The same as int64: 1 for a key that may be attended, 0 for a masked one. */
  readonly visible?: string;
  /**
   * The whole bias of the heads, float32, [B or 1, H or 1, N or 1, S]; present for masks that `keyBias` does not say all
   * of. Given `rows` (int64 indices of queries; those beyond the last count as the last) only their part.
   */
  readonly bias?: (build: Builder, rows?: string) => string;
  /** What is left to apply to q·k. */
  readonly gain: number;
  readonly site: Site;
  /** Query heads of this group, as indices into the site's. */
  readonly heads: readonly number[];
}

/** Why a plan that reads no more of the mask than `keyBias` can't take a site. */
export function beyondKeyBias({ mask }: Site): string | undefined {
  const known = mask === 'none' || mask === 'padding';
  return known ? undefined : `it lets every query attend to all keys alike, and the mask here is ${mask}`;
}

/** The value of a calibrated constant, which has a leading axis for the heads of the group. */
export type Constants = (name: string) => string;

/** One attention module's ONNX form. `lower` emits nodes and returns the context [B,H,N,E]. */
export interface Lowering {
  readonly summary: string;
  readonly defaults: Options;
  /** Fills in defaults and checks (plan-options.ts). @throws PerformersError PF202 */
  readOptions(given: Readonly<Record<string, unknown>>): Options;
  /** Why this module can't take a site, or undefined when it can. */
  declines?(site: Site): string | undefined;
  /** Multiply-adds per query token and head ÷ (D + E), the unit in which exact attention costs S. */
  keyEquivalents(options: Options, tokens: number): number;
  /** The calibrated constants it reads, and the shape of each for one head. None where absent. */
  constants?(site: Site, options: Options): Readonly<Record<string, readonly number[]>>;
  lower(build: Builder, inputs: Inputs, options: Options, constants: Constants): string;
}

/** Numbers behind the typed reader, for use inside lower(). */
export function numberOption(options: Options, key: string): number {
  return Number(options[key]);
}
