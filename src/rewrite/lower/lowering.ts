import { PerformersError } from '../../errors.js';
import type { Builder } from '../../onnx/build.js';
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

export type Options = Readonly<Record<string, number | string | readonly number[]>>;

/** The value of a calibrated constant, which has a leading axis for the heads of the group. */
export type Constants = (name: string) => string;

/** One attention module's ONNX form. `lower` emits nodes and returns the context [B,H,N,E]. */
export interface Lowering {
  readonly summary: string;
  readonly defaults: Options;
  /** Fills in defaults and checks. @throws PerformersError PF202 */
  readOptions(given: Readonly<Record<string, unknown>>): Options;
  /** Why this module can't take a site, or undefined when it can. */
  declines?(site: Site): string | undefined;
  /** Multiply-adds per query token and head ÷ (D + E), the unit in which exact attention costs S. */
  keyEquivalents(options: Options, tokens: number): number;
  /** The calibrated constants it reads, and the shape of each for one head. None where absent. */
  constants?(site: Site, options: Options): Readonly<Record<string, readonly number[]>>;
  lower(build: Builder, inputs: Inputs, options: Options, constants: Constants): string;
}

/** What an option may be, checked with one message form for all lowerings. */
export interface OptionRule {
  readonly default: number | string | readonly number[];
  readonly valid: (value: unknown) => boolean;
  readonly expected: string;
}

export function optionReader(plan: string, rules: Readonly<Record<string, OptionRule>>) {
  return (given: Readonly<Record<string, unknown>>): Options => {
    for (const key of Object.keys(given)) {
      if (!Object.hasOwn(rules, key)) {
        const known = Object.keys(rules);
        throw new PerformersError('PF202', `plan '${plan}' has no option '${key}'`, {
          at: `plan ${plan}`,
          mend: known.length > 0 ? `its options are ${known.join(', ')}` : 'it takes no options',
        });
      }
    }
    return Object.fromEntries(
      Object.entries(rules).map(([key, rule]) => {
        const value = given[key] ?? rule.default;
        if (!rule.valid(value)) {
          throw new PerformersError('PF202', `${key} must be ${rule.expected}, got ${JSON.stringify(value)}`, {
            at: `plan ${plan}`,
            mend: `leave it out for the default, ${JSON.stringify(rule.default)}`,
          });
        }
        return [key, value as number | string | readonly number[]];
      }),
    );
  };
}

export function integerRule(fallback: number, least: number, most: number): OptionRule {
  return {
    default: fallback,
    valid: (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most,
    expected: `an integer from ${least} to ${most}`,
  };
}

export function defaultsOf(rules: Readonly<Record<string, OptionRule>>): Options {
  return Object.fromEntries(Object.entries(rules).map(([key, rule]) => [key, rule.default]));
}

/** Numbers behind the typed reader, for use inside lower(). */
export function numberOption(options: Options, key: string): number {
  return Number(options[key]);
}
