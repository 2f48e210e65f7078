/**
 * What plans are called and which options each takes, apart from what they do: whoever hands on a plan can check it without carrying
 * the lowerings and the feature maps that they draw (adapters/backend.ts).
 */
import { PerformersError } from '../errors.js';

export type Options = Readonly<Record<string, number | string | readonly number[]>>;

/** What an option may be, checked with one message form for all plans. */
interface OptionRule {
  readonly default: number | string | readonly number[];
  readonly valid: (value: unknown) => boolean;
  readonly expected: string;
}

type Rules = Readonly<Record<string, OptionRule>>;

/** Queries a block. 32 is what the measurements of the recipe were made with. */
export const queryBlock = 32;

/** Maps that look at nothing, and those that look at the moments of queries and keys (lower/features-constants.ts). */
export const drawnMapNames = ['favor+', 'hyperbolic'] as const;
export const calibratedMapNames = ['shift', 'oprf', 'sderf', 'aderf'] as const;
export const mapNames: readonly string[] = [...drawnMapNames, ...calibratedMapNames];

/** What is trained with a model comes from no seed: `learned64.queryOmega`. */
export const learned = 'learned';

/** Of features/kernels/registry.ts, all. */
export const signedKernelNames = [
  'rbf',
  'laplace',
  'polynomial',
  'delta-gaussian',
  'tl1',
  'epanechnikov',
  'arc-cosine-0',
  'arc-cosine-1',
  'ntk',
  'log',
] as const;
/** Those that draw from the measure of any kernel here; what else there is refuses some or is biased. */
export const signedMethodNames = ['gorf', 'grff'] as const;
/** Of attention/signed.ts, all. */
export const signedNormaliserNames = ['lift', 'total-variation', 'guard', 'count'] as const;

const window: OptionRule = {
  default: 64,
  valid: (value) =>
    Number.isInteger(value) && Number(value) >= queryBlock && Number(value) % 2 === 0 && Number(value) <= 65536,
  expected: `an even integer of at least ${queryBlock}, the query block`,
};

const far: Rules = {
  globals: integer(32, 0, 4096),
  sinks: integer(0, 0, 4096),
  codes: integer(32, 0, 1024),
  assign: {
    default: 'keys',
    valid: (value) => value === 'keys' || value === 'pairs',
    expected: "'keys', or 'pairs' of key and value",
  },
};

const drawn: Rules = { m: integer(128, 1, 8192), seed: integer(0, 0, 2 ** 31) };

/** A line for each entry of lower/registry.ts. */
const planRules = {
  exact: {},
  'exact-blocked': { block: integer(256, 1, 65536) },
  features: { map: oneOf(mapNames, 'favor+'), ...drawn },
  window: {
    window,
    globals: {
      default: 4,
      valid: (value) =>
        isCount(value) ||
        (Array.isArray(value) && value.length > 0 && value.every(isCount) && new Set(value).size === value.length),
      expected: 'a number of first tokens, or a list of distinct token indices',
    },
  },
  hybrid: { window, ...far },
  'hybrid-2d': {
    tile: integer(4, 1, 64),
    halo: integer(2, 0, 64),
    ...far,
    steps: integer(0, 0, 4),
    ring: integer(0, 0, 16),
  },
  summaries: { codes: integer(64, 1, 1024), assign: oneOf(['segments', 'keys', 'pairs'], 'segments') },
  blocks: {
    window: {
      default: 64,
      valid: (value) => window.valid(value) && Number(value) % 16 === 0,
      expected: `a multiple of 16 of at least ${queryBlock}, the query block`,
    },
    ...far,
    blocks: integer(16, 1, 4096),
  },
  'hybrid-causal': {
    window,
    ...far,
    sinks: { ...far.sinks, default: 4 },
    assign: { default: 'keys', valid: (value) => value === 'keys', expected: "'keys'" },
  },
  'features-causal': {
    window: {
      ...window,
      valid: (value) => value === 0 || window.valid(value),
      expected: `0, or ${window.expected}`,
    },
    // The asymmetric ADERF is none of them: its queries have a norm of their own, which one softmax with exact scores needs to know.
    map: oneOf([...mapNames.filter((name) => name !== 'aderf'), learned], 'favor+'),
    ...drawn,
  },
  // As features-causal; what is learned decays from block to block, which the operator does not.
  'linear-attention': {
    map: oneOf(
      mapNames.filter((name) => name !== 'aderf'),
      'favor+',
    ),
    ...drawn,
  },
  'window-causal': { window: integer(1024, 1, 65536), sinks: integer(4, 0, 65536) },
  signed: {
    kernel: oneOf(signedKernelNames, 'delta-gaussian'),
    method: oneOf(signedMethodNames, 'gorf'),
    m: integer(256, 2, 8192),
    seed: integer(0, 0, 2 ** 31),
    bandwidth: number(1, (value) => value > 0, 'a positive number'),
    normaliser: oneOf(signedNormaliserNames, 'lift'),
    kappa: number(1, (value) => value >= 0, 'a number of at least 0'),
  },
  nystrom: { landmarks: integer(64, 1, 1024) },
} satisfies Record<string, Rules>;

/** What options of a plan must be together, and how to mend it. */
const together: Partial<
  Record<keyof typeof planRules, (options: Options) => { what: string; mend: string } | undefined>
> = {
  'hybrid-2d': ({ tile, halo, ring }) =>
    Number(ring) > 0 && (Number(tile) % 2 > 0 || Number(halo) % 2 > 0)
      ? {
          what: `a ring is made of cells of 2 × 2 patches, and a tile of ${tile} with a halo of ${halo} is not`,
          mend: 'use an even tile and halo, or ring=0',
        }
      : undefined,
};

export type PlanName = keyof typeof planRules;

export const planNames = Object.keys(planRules) as readonly PlanName[];

/** The part of a lowering that says what its plan takes. */
export function optionsOf(plan: PlanName) {
  const rules: Rules = planRules[plan];
  return {
    defaults: Object.fromEntries(Object.entries(rules).map(([key, rule]) => [key, rule.default])),
    readOptions: (given: Readonly<Record<string, unknown>>) => readOptions(plan, given),
  };
}

/** Fills in defaults and checks. @throws PerformersError PF202 */
export function readOptions(plan: PlanName, given: Readonly<Record<string, unknown>>): Options {
  const rules: Rules = planRules[plan];
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(rules, key)) {
      const known = Object.keys(rules);
      throw new PerformersError('PF202', `plan '${plan}' has no option '${key}'`, {
        at: `plan ${plan}`,
        mend: known.length > 0 ? `its options are ${known.join(', ')}` : 'it takes no options',
      });
    }
  }
  const read = Object.fromEntries(
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
  const wrong = together[plan]?.(read);
  if (wrong) throw new PerformersError('PF202', wrong.what, { at: `plan ${plan}`, mend: wrong.mend });
  return read;
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 65536;
}

function integer(fallback: number, least: number, most: number): OptionRule {
  return {
    default: fallback,
    valid: (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most,
    expected: `an integer from ${least} to ${most}`,
  };
}

function number(fallback: number, inside: (value: number) => boolean, expected: string): OptionRule {
  return {
    default: fallback,
    valid: (value) => typeof value === 'number' && Number.isFinite(value) && inside(value),
    expected,
  };
}

function oneOf(names: readonly string[], fallback: string): OptionRule {
  return {
    default: fallback,
    valid: (value) => names.includes(String(value)),
    expected: `one of ${names.join(', ')}`,
  };
}
