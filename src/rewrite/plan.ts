import { nearest, PerformersError } from '../errors.js';
import type { Builder } from '../onnx/build.js';
import type { Constants } from './lower/lowering.js';
import { type Options, type PlanName, planNames, readOptions } from './plan-options.js';
import type { Site } from './site.js';

/** What replaces one site: the name of a lowering with its options filled in and checked. */
export interface Plan {
  readonly name: PlanName;
  readonly options: Options;
}

/** A plan a caller writes: `'window'`, `'features:m=64,seed=1'`, or `{ name: 'window', window: 64, globals: 4 }`. */
export type PlanInput = string | ({ readonly name: string } & Readonly<Record<string, unknown>>);

/** Heads of one site that share a plan; together the groups of a site name every head once. */
export interface HeadGroup {
  readonly heads: readonly number[];
  readonly plan: Plan;
}

/** Calibrated constants of a site by name, each for all of its heads: [H, …], rows of one head together. */
export type SiteConstants = Readonly<Record<string, Float32Array>>;

/** What healing adds to the constant matrix [K,M] of a product, a matrix of rank r, and to its result (correction.ts). */
export interface Correction {
  /** The value that the product computes, in the main graph. */
  readonly product: string;
  /** r */
  readonly rank: number;
  /** D [K,r] */
  readonly down: Float32Array;
  /** U [r,M] */
  readonly up: Float32Array;
  /** b [M] */
  readonly bias: Float32Array;
}

/** A site with the plan of each of its heads, and why. */
export interface SitePlan {
  readonly site: Site;
  readonly groups: readonly HeadGroup[];
  readonly why: string;
  /** What the plans need of calibration, and `gain` [H] and `bias` [H,E] where healing set them. */
  readonly constants?: SiteConstants;
  /** Weights behind the attention that healing changes. */
  readonly corrections?: readonly Correction[];
  /** Inputs of this many tokens or fewer are attended exactly: linear plans cost more there, and err for nothing. */
  readonly exactUpTo?: number;
  /** Makes the node of a group of heads that kernels compute, not the graph. The core carries kernel-nodes.ts only where it is given. */
  readonly spliced?: SpliceHeads;
}

/** @returns the context [B,H,N,E] */
export type SpliceHeads = (build: Builder, plan: SitePlan, group: HeadGroup, constants: Constants) => string;

/**
 * Which plan goes where. `layers` are indices into the sites in graph order; later rules win over earlier ones.
 * A rule with `heads` applies to those heads only.
 */
export interface LayerRule {
  readonly layers: number | readonly number[];
  readonly heads?: readonly number[];
  readonly plan: PlanInput;
}

/** Reads one plan. @throws PerformersError PF201 (unknown name, the near one offered), PF202 (bad option) */
export function readPlan(input: PlanInput): Plan {
  const { name, ...given } = typeof input === 'string' ? parsePlan(input) : input;
  if (!isPlan(name)) {
    const near = nearest(name, planNames);
    throw new PerformersError('PF201', `unknown plan '${name}'${near ? `; did you mean '${near}'?` : ''}`, {
      at: 'plan',
      mend: `use one of ${planNames.join(', ')}, or auto`,
    });
  }
  return { name, options: readOptions(name, given) };
}

function isPlan(name: string): name is PlanName {
  return planNames.some((known) => known === name);
}

/** `features:m=64,seed=1` → { name, m: 64, seed: 1 }; lists are written `globals=0+1+2`. */
function parsePlan(text: string): { name: string } & Record<string, unknown> {
  const [name = '', rest] = text.split(/:(.*)/s);
  const plan: { name: string } & Record<string, unknown> = { name: name.trim() };
  for (const part of rest?.split(',') ?? []) {
    const [key, value, ...more] = part.split('=').map((piece) => piece.trim());
    if (!key || value === undefined || value === '' || more.length > 0) {
      throw new PerformersError('PF202', `'${part}' in the plan '${text}' is not of the form option=value`, {
        at: 'plan',
        mend: "write plans like 'features:m=64,seed=1'",
      });
    }
    plan[key] = readValue(value);
  }
  return plan;
}

function readValue(text: string): number | string | number[] {
  const numbers = text.split('+').map((piece) => (piece === '' ? Number.NaN : Number(piece)));
  // A + is part of some names, such as favor+.
  if (numbers.some(Number.isNaN)) return text;
  return numbers.length > 1 ? numbers : numbers[0];
}

/** The plan as one would write it: `features:m=64,seed=1`. */
export function formatPlan(plan: Plan): string {
  const options = Object.entries(plan.options).map(
    ([key, value]) => `${key}=${Array.isArray(value) ? value.join('+') : value}`,
  );
  return options.length > 0 ? `${plan.name}:${options.join(',')}` : plan.name;
}

/** Which heads, and the plan they share. */
export const formatGroup = ({ heads, plan }: HeadGroup) => `${heads} ${formatPlan(plan)}`;

/** True for sites whose heads have the same plans. */
export function sameGroups(a: Pick<SitePlan, 'groups'>, b: Pick<SitePlan, 'groups'>): boolean {
  return a.groups.map(formatGroup).join() === b.groups.map(formatGroup).join();
}

/** The layers a rule names. */
export function layersOf({ layers }: LayerRule): readonly number[] {
  return typeof layers === 'number' ? [layers] : layers;
}

/** What a site gets when nothing else is possible: the same answer in linear memory. */
export const fallback = 'exact-blocked';
