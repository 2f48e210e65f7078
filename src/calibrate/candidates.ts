/** What a head may get, from cheap to dear, and the constants that each of them needs. */
import type { Lowering } from '../rewrite/lower/lowering.js';
import { lowerings } from '../rewrite/lower/registry.js';
import { type Plan, readPlan, type SiteConstants } from '../rewrite/plan.js';
import type { Site } from '../rewrite/site.js';
import { type Assign, type KMeans, makeCodebook, meanQueries } from './codebook.js';
import { looksAtPairs } from './fit-features.js';
import type { SiteStatistics } from './statistics.js';

/** window, globals, codes and what the codes look at; QUALITY: what holds needs all three parts in some measure. */
const settings: readonly (readonly [number, number, number, Assign])[] = [
  [32, 8, 8, 'keys'],
  [32, 16, 16, 'keys'],
  [32, 32, 16, 'keys'],
  [64, 32, 0, 'keys'],
  [64, 32, 16, 'keys'],
  [32, 32, 32, 'keys'],
  [32, 32, 32, 'pairs'],
  [64, 32, 32, 'keys'],
  [32, 64, 32, 'keys'],
  [64, 32, 32, 'pairs'],
  [32, 64, 32, 'pairs'],
  [64, 64, 32, 'pairs'],
  [32, 64, 64, 'pairs'],
  [128, 64, 32, 'pairs'],
  [64, 64, 64, 'pairs'],
  [64, 128, 64, 'pairs'],
  [128, 64, 64, 'pairs'],
  [128, 128, 64, 'pairs'],
  [256, 64, 64, 'pairs'],
];

/** tile, halo, globals, codes, steps; codes of pairs: in images the far field's error is in its values (QUALITY, VISION). */
const tiled: readonly (readonly [number, number, number, number, number])[] = [
  [4, 1, 16, 8, 0],
  [4, 1, 16, 16, 0],
  [4, 1, 16, 16, 1],
  [4, 2, 32, 16, 0],
  [4, 2, 32, 16, 1],
  [4, 2, 32, 32, 0],
  [4, 2, 64, 32, 0],
  [4, 2, 32, 32, 1],
  [4, 2, 64, 32, 1],
  [4, 2, 64, 64, 0],
  [8, 2, 64, 32, 0],
  [4, 2, 64, 64, 1],
  [8, 2, 64, 32, 1],
  [8, 2, 64, 64, 0],
  [8, 4, 64, 32, 1],
  [8, 4, 64, 64, 1],
];

/** window, globals, codes: in decoders globals buy most (QUALITY 3.4). */
const causal: readonly (readonly [number, number, number])[] = [
  [32, 16, 16],
  [64, 16, 16],
  [64, 32, 16],
  [64, 32, 32],
  [128, 32, 16],
  [64, 64, 32],
  [128, 32, 32],
  [128, 64, 32],
  [64, 128, 32],
  [256, 32, 32],
  [128, 128, 32],
  [256, 128, 32],
];

/** What may be tried on the heads of a site: of a stream, of an image where it lies on a grid, of a sequence elsewhere. */
export function linearCandidates({ causal: isCausal, operands }: Site): Plan[] {
  if (isCausal)
    return causal.map(([window, globals, codes]) =>
      readPlan({ name: 'hybrid-causal', window, globals, sinks: 4, codes, assign: 'keys' }),
    );
  if (operands.grid)
    return tiled.map(([tile, halo, globals, codes, steps]) =>
      readPlan({ name: 'hybrid-2d', tile, halo, globals, sinks: 0, codes, assign: 'pairs', steps }),
    );
  return settings.map(([window, globals, codes, assign]) =>
    readPlan({ name: 'hybrid', window, globals, sinks: 0, codes, assign }),
  );
}

/** Of `blocks`, for sequences: window, globals, codes, blocks. A key that is found is worth more than a code: few of those, and of pairs. */
const estimated = [
  [32, 8, 4, 4],
  [32, 8, 8, 4],
  [32, 8, 8, 8],
  [32, 16, 8, 8],
  [32, 16, 8, 12],
  [32, 16, 16, 12],
  [32, 16, 8, 16],
  [32, 16, 16, 16],
  [32, 32, 16, 16],
  [32, 32, 16, 24],
  [32, 32, 32, 24],
  [64, 64, 32, 32],
] as const;

/** What finds keys by 4-bit estimates: nearer to a model than as many keys of a hybrid, and quadratic where a head uses it. */
export function blockCandidates({ causal: isCausal, operands }: Site): Plan[] {
  if (isCausal || operands.grid) return [];
  return estimated.map(([window, globals, codes, blocks]) =>
    readPlan({ name: 'blocks', window, globals, codes, sinks: 0, assign: 'pairs', blocks }),
  );
}

export interface Makers {
  readonly plans: readonly Plan[];
  readonly seed: number;
  readonly kMeans: KMeans;
  /** The constants of a feature map that looks at pairs (fit-features.ts). */
  readonly features: (plan: Plan) => Promise<SiteConstants>;
}

/** Everything that some candidate reads, of one site. */
export async function makeConstants(
  site: Site,
  statistics: SiteStatistics,
  { plans, seed, kMeans, features }: Makers,
): Promise<SiteConstants> {
  const constants: Record<string, Float32Array> = { query: meanQueries(statistics) };
  for (const plan of plans) {
    const { options } = plan;
    if (constantNames(site, plan).every((name) => constants[name])) continue;
    if (looksAtPairs(plan)) {
      Object.assign(constants, await features(plan));
      continue;
    }
    const [codes, assign] = [Number(options.codes), options.assign as Assign];
    const made = await makeCodebook(statistics, { codes, assign, seed }, kMeans);
    constants[`${assign}${codes}.weights`] = made.weights;
    constants[`${assign}${codes}.offsets`] = made.offsets;
    // The same for codebooks of any size.
    constants[`${assign}.metric`] = made.metric;
    constants[`${assign}.valueWeight`] = made.valueWeight;
  }
  return constants;
}

/** What a plan reads of calibration. */
export function constantNames(site: Site, { name, options }: Plan): string[] {
  const lowering: Lowering = lowerings[name];
  return Object.keys(lowering.constants?.(site, options) ?? {});
}
