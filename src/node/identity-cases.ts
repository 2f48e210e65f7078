import type { Model } from '../onnx/graph.js';
import type { Feeds } from '../session.js';
import type { Case } from '../verify.js';
import { isCache, isMask } from './input-sizes.js';
import { generateInputs, type InputOptions } from './inputs.js';

/** One token, less and more than a block of queries, padding on either side; long ones alone and as a batch. */
const plainCases: readonly InputOptions[] = [
  { tokens: 1 },
  { tokens: 2 },
  { tokens: 17 },
  { tokens: 13, batch: 3 },
  { tokens: 13, batch: 3, padding: 'left' },
  { tokens: 301 },
  { tokens: 301, batch: 2 },
];

/** The next token, a batch of them with padding on either side, several tokens at once. */
const cachedCases: readonly InputOptions[] = [
  { tokens: 1, past: 1 },
  { tokens: 1, past: 16 },
  { tokens: 1, past: 16, batch: 3 },
  { tokens: 1, past: 16, batch: 3, padding: 'left' },
  { tokens: 17, past: 5 },
  { tokens: 2, past: 300, batch: 2, padding: 'left' },
];

/**
 * What the identity proof runs a model on. One of fixed size has fewer cases than there are lengths; one without a cache
 * has none with a past.
 *
 * @throws PerformersError PF204
 */
export function identityCases(model: Model): Case[] {
  const cases = new Map<string, Case>();
  for (const options of [...plainCases, ...cachedCases]) {
    const { feeds, tokens, past, batch, padding } = generateInputs(model, options);
    if (past !== (options.past ?? 0)) continue;
    const parts = [
      `N = ${tokens}`,
      past > 0 && `past ${past}`,
      batch > 1 && `batch ${batch}`,
      padding && `padded ${padding}`,
    ];
    const key = fingerprint(feeds);
    if (!cases.has(key)) cases.set(key, { name: parts.filter((part) => part).join(', '), feeds });
  }
  return [...cases.values()];
}

/** Sizes, and what masks and flags hold: the values of other inputs make no other case. */
function fingerprint(feeds: Feeds): string {
  return Object.entries(feeds)
    .map(([name, { type, dims, data }]) => {
      const tells = !type.startsWith('float') && (isMask(name) || isCache(name));
      return `${dims} ${tells ? Array.from<number | bigint | string>(data).join('') : ''}`;
    })
    .join('; ');
}
