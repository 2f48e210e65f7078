/**
 * Decoders merged into one If: what one branch gives out, the other takes in at the next call. Sites of one layer that lie in
 * its branches keep one cache, and both keep keys in it, or both a state by the same plans.
 */
import type { Site } from './site.js';

/** Sites whose caches the other branch knows, too: without it, a branch would be handed what it cannot read. */
export function inAllBranches(sites: readonly Site[]): Site[] {
  const beside = besideEach(sites);
  return sites.map((site) => {
    const { cache: _, ...operands } = site.operands;
    return !site.subgraph || beside(site).length > 0 ? site : { ...site, operands };
  });
}

/** Of every site, those that go on with its cache in another branch. */
export function besideEach(sites: readonly Site[]): (site: Site) => readonly Site[] {
  const byCache = new Map<string, Site[]>();
  const keyOf = ({ operands: { cache, elemType }, heads, kvHeads, headDim, valueDim }: Site) =>
    cache && JSON.stringify([cache.past, cache.present, elemType, heads, kvHeads, headDim, valueDim]);
  for (const site of sites) {
    const key = keyOf(site);
    const sharing = key === undefined ? undefined : byCache.get(key);
    if (sharing) sharing.push(site);
    else if (key !== undefined) byCache.set(key, [site]);
  }
  return (site) => {
    const sharing = byCache.get(keyOf(site) ?? '') ?? [];
    const others = sharing.filter(({ subgraph }) => subgraph !== site.subgraph);
    // A branch in which two sites read one cache is none that is known.
    return sharing.length === 2 ? others : [];
  };
}
