import { type LayerRule, linearizeChunks, lowerings } from '../src/index.js';

/** One column of the comparison. */
export interface DemoPlan {
  /** As given to --plans; 'original' for the model as published. */
  readonly text: string;
  /** Short, for tables and labels. */
  readonly label: string;
  /** One sentence on what it computes. */
  readonly what: string;
  /** What linearize() is given; absent for the original. */
  readonly options?: { readonly plan: string; readonly rules: readonly LayerRule[] };
}

export const original: DemoPlan = {
  text: 'original',
  label: 'original',
  what: 'softmax over all tokens, as published',
};

/** The window in a few layers is the best mix of today's plans that we measured on four photos at 448 and 700 px. */
export const defaultPlans = ['exact-blocked', 'features:m=128', 'window:window=128', 'window:window=256@0-2+10+11'];

/** Plans of the library, or `PLAN@LAYERS`: that plan in these layers (`0-2+10`), exact-blocked in the others. */
export function readPlans(texts: readonly string[]): DemoPlan[] {
  return [...new Set(texts)].map((text) => {
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
  });
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
