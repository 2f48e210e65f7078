/** What is expected of the graphs in test/graphs: their manifest, with the two places where it says less than a graph. */
import { readFileSync } from 'node:fs';
import { graphFile } from './shared.js';

type Site = Readonly<Record<string, unknown>>;
interface Entry {
  readonly file: string;
  readonly sites: readonly Site[];
  readonly refuse: readonly { readonly node: string }[];
}

/** Left open by the manifest: a Softmax over another axis than the last, which a finder may take. */
const overRows = {
  node: '/Softmax',
  op: 'Softmax',
  domain: '',
  output: '/Softmax_output_0',
  subgraph: '',
  kind: 'self',
  causal: false,
  mask: 'none',
  heads: 4,
  kvHeads: 4,
  headDim: 8,
  positional: 'none',
  pastKeyValues: false,
  scale: Math.sqrt(1 / 8),
};

/** All entries; `Fields` are those that a test reads. */
export function manifestOf<Fields extends object>(): (Entry & Fields)[] {
  const entries: (Entry & Fields)[] = JSON.parse(readFileSync(graphFile('manifest.json'), 'utf8'));
  return entries.map((entry) => {
    if (entry.file.startsWith('softmax-axis'))
      return { ...entry, sites: [overRows], refuse: entry.refuse.filter(({ node }) => node !== overRows.node) };
    // It declares what lies in If branches from the model's code, and says that BART has no mask in a step with cache.
    // The graph has one, causal: identity.test.ts runs it on three tokens.
    if (!entry.file.startsWith('bart-decoder')) return entry;
    const sites = entry.sites.map((site) =>
      site.kind === 'self' && site.pastKeyValues ? { ...site, mask: 'causal' } : site,
    );
    return { ...entry, sites };
  });
}
