import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type LayerRule, linearizeChunks, type SavedPlan } from '../src/index.js';
import { readPlanFile } from '../src/node/plan-file.js';
import { lowerings } from '../src/rewrite/lower/registry.js';
import { readPlan } from '../src/rewrite/plan.js';

/** One column of the comparison. */
export interface DemoPlan {
  /** As given to --plans; 'original' for the model as published. */
  readonly text: string;
  /** Short, for tables and labels. */
  readonly label: string;
  /** One sentence on what it computes. */
  readonly what: string;
  /** What linearize() is given; absent for the original. */
  readonly options?: { readonly plan: string; readonly rules: readonly LayerRule[] } | { readonly saved: SavedPlan };
}

export const original: DemoPlan = {
  text: 'original',
  label: 'original',
  what: 'softmax over all tokens, as published',
};

/** What calibration chose for a model, where its folder has that, between what every model can take. */
export function defaultPlans(model: string): string[] {
  const saved = join(model, 'hybrid.plan.json');
  return ['exact-blocked', ...(existsSync(saved) ? [relative('.', saved)] : []), 'window:window=128', 'features:m=128'];
}

/**
 * Plans of the library; `PLAN@LAYERS`: that plan in these layers (`0-2+10`), exact-blocked in the others; or a file
 * that calibration wrote (`*.plan.json`).
 */
export async function readPlans(texts: readonly string[]): Promise<DemoPlan[]> {
  return Promise.all([...new Set(texts)].map((text) => (text.endsWith('.json') ? readSaved(text) : readNamed(text))));
}

function readNamed(text: string): DemoPlan {
  const [plan = '', where] = text.split('@');
  const label = labelOf(plan);
  const name = plan.split(':')[0] ?? '';
  const what = Object.entries(lowerings).find(([known]) => known === name)?.[1].summary ?? '';
  if (where === undefined) return { text, label, what, options: { plan, rules: [] } };
  const layers = readLayers(where, text);
  return {
    text,
    label: `mix: ${label}`,
    what: `${label} in layers ${where.replaceAll('+', ', ')}, exact-blocked in the others`,
    options: { plan: 'exact-blocked', rules: [{ layers, plan }] },
  };
}

async function readSaved(text: string): Promise<DemoPlan> {
  const { saved } = await readPlanFile(text);
  if (!saved) throw new RangeError(`'${text}' is no plan of calibration: name rules on the command line instead`);
  const costs = saved.sites.flatMap(({ plans }) =>
    plans.flatMap(({ heads, plan }) => {
      const { name, options } = readPlan(plan);
      return heads.map(() => (name.startsWith('exact') ? undefined : lowerings[name].keyEquivalents(options, 0)));
    }),
  );
  const linear = costs.filter((cost) => cost !== undefined);
  const mean = linear.reduce((sum, cost) => sum + cost, 0) / Math.max(1, linear.length);
  return {
    text,
    label: 'calibrated',
    what: `a plan for every head, chosen on other photos: ${linear.length} of ${costs.length} heads linear, each a window, scored keys and summaries of all the rest, at the price of ${mean.toFixed(0)} keys on average`,
    options: { saved },
  };
}

/** Runs nothing, but finds every plan that the model cannot take. @throws PerformersError as linearize does */
export async function checkPlans(bytes: Uint8Array, plans: readonly DemoPlan[]): Promise<void> {
  for (const { options } of plans) if (options) await linearizeChunks(bytes, options);
}

/** 'window:window=128' → 'window 128', 'features:m=64' → 'FAVOR+ m=64' */
function labelOf(plan: string): string {
  const [name, options] = plan.split(':');
  const label = name === 'features' ? 'FAVOR+' : name;
  return [label, options?.replace(/^window=/, '').replaceAll(',', ' ')].filter(Boolean).join(' ');
}

/** '0-2+10' → [0, 1, 2, 10] */
function readLayers(where: string, text: string): number[] {
  const layers = where.split('+').flatMap((part) => {
    const range = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (!range) throw new RangeError(`'${part}' in '${text}' is no layer: write PLAN@0-2+10 for layers 0, 1, 2 and 10`);
    const first = Number(range[1]);
    const last = Number(range[2] ?? first);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
  });
  if (layers.length === 0) throw new RangeError(`'${text}' names no layer: write ranges upwards, as in 0-2`);
  return [...new Set(layers)];
}
