/**
 * The coordinates that features are of: x·y is the score s q·k with √|s| on either side, for the variance of a product of features is that of
 * both sides together, and a negative s with the queries. The graph may have any part of s on its q and its k already.
 */

import type { Site } from '../site.js';
import { beyondKeyBias } from './lowering.js';

/** Factors that turn q and k as the graph has them into x and y. */
export function balanceFactors({ scale, operands: { scaled } }: Site): [number, number] {
  const root = Math.sqrt(Math.abs(scale));
  return [(Math.sign(scale) * root) / scaled.q, root / scaled.k];
}

/** Why features can't take a site: its mask, or scores that are no scores. */
export function beyondFeatures(site: Site): string | undefined {
  return beyondKeyBias(site) ?? withoutScale(site);
}

export function withoutScale({ scale }: Site): string | undefined {
  return scale === 0 ? 'its scores are multiplied by 0' : undefined;
}
