/** What a head may get, from cheap to dear, and the constants that each of them needs. */
import { type Plan, readPlan, type SiteConstants } from '../rewrite/plan.js';
import { type Assign, type KMeans, makeCodebook, meanQueries } from './codebook.js';
import type { SiteStatistics } from './statistics.js';

/** window, globals, codes and what the codes look at; QUALITY: what holds needs all three parts in some measure. */
const settings: readonly (readonly [number, number, number, Assign])[] = [
  [32, 8, 8, 'keys'],
  [32, 16, 16, 'keys'],
  [32, 32, 16, 'keys'],
  [32, 16, 32, 'pairs'],
  [64, 32, 0, 'keys'],
  [64, 32, 16, 'keys'],
  [32, 32, 32, 'pairs'],
  [32, 64, 32, 'keys'],
  [64, 32, 32, 'keys'],
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

export function linearCandidates(): Plan[] {
  return settings.map(([window, globals, codes, assign]) =>
    readPlan({ name: 'hybrid', window, globals, sinks: 0, codes, assign }),
  );
}

/** Everything that some candidate reads, of one site. */
export async function makeConstants(
  statistics: SiteStatistics,
  { plans, seed, kMeans }: { plans: readonly Plan[]; seed: number; kMeans: KMeans },
): Promise<SiteConstants> {
  const constants: Record<string, Float32Array> = { query: meanQueries(statistics) };
  for (const { options } of plans) {
    const [codes, assign] = [Number(options.codes), options.assign as Assign];
    const name = `${assign}${codes}`;
    if (codes === 0 || constants[`${name}.weights`]) continue;
    const { weights, offsets } = await makeCodebook(statistics, { codes, assign, seed }, kMeans);
    constants[`${name}.weights`] = weights;
    constants[`${name}.offsets`] = offsets;
  }
  return constants;
}
