/**
 * The constants of a calibrated feature map (feature-constants.ts) for the heads of a site: each head gets the pairs
 * that its moments are taken over (pair-moments.ts), and the tau, with which the plan's own lowering errs least on held-out inputs.
 * tau ∈ {¼, ½, 1} shrinks the proposal of least variance towards that of FAVOR+: wide ones waste features where features are
 * few beside the variance (METHODS G.3). `shift` has no proposal to shrink, and tau = 0 of the others is it.
 */

import { drawnBy } from '../rewrite/lower/feature-sides.js';
import type { Plan, SiteConstants } from '../rewrite/plan.js';
import { calibratedMapNames } from '../rewrite/plan-options.js';
import type { Site } from '../rewrite/site.js';
import { featureConstants } from './feature-constants.js';
import { type PairSums, pairMoments, weightings } from './pair-moments.js';

const taus = [0.25, 0.5, 1];

/** Whether a plan has constants that look at pairs. */
export function looksAtPairs({ options }: Plan): boolean {
  return calibratedMapNames.some((map) => map === options.map);
}

/** `sharesOf` measures constants: what every head gets wrong on held-out inputs [H]. */
export async function fitFeatures(
  site: Site,
  plan: Plan,
  pairs: PairSums,
  sharesOf: (constants: SiteConstants) => Promise<readonly number[]>,
): Promise<SiteConstants> {
  const drawn = drawnBy(plan.options);
  const constants: Record<string, Float32Array> = {};
  const least = new Array<number>(site.heads).fill(Number.POSITIVE_INFINITY);
  for (const weighting of weightings) {
    const moments = pairMoments(pairs, weighting);
    for (const tau of drawn.map === 'shift' ? [1] : taus) {
      const made = featureConstants(drawn, { site, keyFactor: site.operands.scaled.k, moments, tau });
      const shares = await sharesOf(made);
      const better = Array.from(shares.keys()).filter((head) => shares[head] < least[head]);
      for (const [name, values] of Object.entries(made)) {
        constants[name] ??= values.slice();
        const size = values.length / site.heads;
        for (const head of better) constants[name].set(values.subarray(head * size, (head + 1) * size), head * size);
      }
      for (const head of better) least[head] = shares[head];
    }
  }
  return constants;
}
