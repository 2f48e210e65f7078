/**
 * A choice of plans as a file: which plan every head has and why, in lines that can be read, compared and edited, and
 * the calibrated constants behind them as base64. Data is needed to make one, not to use it.
 */
import { PerformersError } from '../errors.js';
import { declined } from './assign-plans.js';
import { type Correction, formatPlan, type HeadGroup, readPlan, type SiteConstants, type SitePlan } from './plan.js';
import type { Site } from './site.js';

export interface SavedSite {
  readonly layer: number;
  /** What the plan was made for; a model that differs here is another model. */
  readonly output: string;
  readonly subgraph?: string;
  readonly heads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly plans: readonly {
    readonly heads: readonly number[];
    readonly plan: string;
    readonly why?: readonly string[];
  }[];
  readonly why: string;
  readonly exactUpTo?: number;
  /** Float32, little endian, base64. */
  readonly constants?: Readonly<Record<string, string>>;
  readonly corrections?: readonly SavedCorrection[];
}

/** A Correction; its arrays as the constants are. */
export interface SavedCorrection {
  readonly product: string;
  readonly rank: number;
  readonly down: string;
  readonly up: string;
  readonly bias: string;
}

export interface SavedPlan {
  readonly schema: 'performers.plan/1';
  readonly sites: readonly SavedSite[];
}

/** `reasons` [layer][head]: what the map says of each head. */
export function savePlan(plans: readonly SitePlan[], reasons?: readonly (readonly string[])[]): SavedPlan {
  const sites = plans.map(({ site, groups, why, exactUpTo, constants, corrections }, layer): SavedSite => {
    const { output, subgraph, heads, headDim, valueDim } = site;
    return {
      layer,
      output,
      ...(subgraph && { subgraph }),
      heads,
      headDim,
      valueDim,
      plans: groups.map((group) => ({
        heads: group.heads,
        plan: formatPlan(group.plan),
        ...(reasons && { why: group.heads.map((head) => `head ${head}: ${reasons[layer]?.[head] ?? ''}`) }),
      })),
      why,
      ...(exactUpTo !== undefined && { exactUpTo }),
      ...(constants && { constants: Object.fromEntries(Object.entries(constants).map(([k, v]) => [k, toBase64(v)])) }),
      ...(corrections && {
        corrections: corrections.map(({ product, rank, down, up, bias }) => ({
          product,
          rank,
          down: toBase64(down),
          up: toBase64(up),
          bias: toBase64(bias),
        })),
      }),
    };
  });
  return { schema: 'performers.plan/1', sites };
}

/**
 * The saved plans for the sites of a model.
 *
 * @throws PerformersError PF502 when the model has other sites, PF201–PF203 and PF202 when an edited plan is wrong
 */
export function applySavedPlan(saved: SavedPlan, sites: readonly Site[]): SitePlan[] {
  if (saved.sites.length !== sites.length) throw otherModel(`${saved.sites.length} sites`, `${sites.length}`);
  return sites.map((site, layer) => {
    const entry = saved.sites.find((candidate) => candidate.layer === layer);
    if (!entry) throw otherModel(`no layer ${layer}`, site.output);
    for (const key of ['output', 'heads', 'headDim', 'valueDim'] as const) {
      if (entry[key] !== site[key]) throw otherModel(`${key} ${entry[key]} in layer ${layer}`, `${site[key]}`);
    }
    const constants = readConstants(entry);
    return {
      site,
      groups: readGroups(entry, site, constants),
      why: entry.why,
      ...(entry.exactUpTo !== undefined && { exactUpTo: entry.exactUpTo }),
      constants,
      ...(entry.corrections && {
        corrections: entry.corrections.map((correction) => readCorrection(correction, entry)),
      }),
    };
  });
}

function readGroups({ plans, layer }: SavedSite, site: Site, constants: SiteConstants): HeadGroup[] {
  const seen = new Set<number>();
  const groups = plans.map(({ heads, plan }) => {
    for (const head of heads) {
      if (!Number.isInteger(head) || head < 0 || head >= site.heads || seen.has(head)) {
        throw new PerformersError('PF203', `layer ${layer} names head ${head} twice, or has no such head`, {
          at: `sites[${layer}].plans`,
          mend: `name each head from 0 to ${site.heads - 1} once`,
        });
      }
      seen.add(head);
    }
    const read = readPlan(plan);
    const reason = declined(read, site, constants);
    if (reason) {
      throw new PerformersError('PF203', `layer ${layer} can't have ${plan}: ${reason}`, {
        at: `sites[${layer}].plans`,
        mend: `this file has the constants ${Object.keys(constants).join(', ') || '(none)'}; calibrate again for others`,
      });
    }
    // In the model's order, in which a group of all heads is taken.
    return { heads: [...heads].sort((a, b) => a - b), plan: read };
  });
  if (seen.size === site.heads) return groups;
  const missing = Array.from({ length: site.heads }, (_, head) => head).filter((head) => !seen.has(head));
  throw new PerformersError('PF203', `layer ${layer} has no plan for heads ${missing.join(', ')}`, {
    at: `sites[${layer}].plans`,
    mend: `name each head from 0 to ${site.heads - 1} once`,
  });
}

function readConstants({ constants = {}, layer }: SavedSite): SiteConstants {
  return Object.fromEntries(
    Object.entries(constants).map(([name, text]) => [
      name,
      readNumbers(text, `the constant ${name} of layer ${layer}`, `sites[${layer}].constants.${name}`),
    ]),
  );
}

function readCorrection({ product, rank, ...arrays }: SavedCorrection, { layer }: SavedSite): Correction {
  const read = (name: 'down' | 'up' | 'bias') =>
    readNumbers(arrays[name], `the correction of ${product} in layer ${layer}`, `sites[${layer}].corrections`);
  return { product, rank, down: read('down'), up: read('up'), bias: read('bias') };
}

function readNumbers(text: string, what: string, at: string): Float32Array {
  const data = fromBase64(text);
  if (data?.every(Number.isFinite)) return data;
  throw new PerformersError('PF202', `${what} is damaged`, { at, mend: 'restore the file, or calibrate again' });
}

function otherModel(expected: string, found: string): PerformersError {
  return new PerformersError('PF502', `the plan was made for another model: it has ${expected}, this model ${found}`, {
    at: 'plan',
    mend: 'calibrate this model: performers linearize MODEL -o OUT --budget 176 --data FILE',
  });
}

function toBase64(data: Float32Array): string {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let text = '';
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

function fromBase64(text: string): Float32Array | undefined {
  try {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return bytes.length % 4 === 0 ? new Float32Array(bytes.buffer) : undefined;
  } catch {
    return undefined;
  }
}
