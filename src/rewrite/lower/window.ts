/**
 * Exact softmax over a set of keys for every block of queries: the `window` keys around the block and a few global
 * keys every query sees.
 *
 *   K_b = [ window keys | global keys ],  V_b likewise, one bias a key;   O_b = softmax(x_b K_bᵀ + bias_b) V_b
 *
 * All blocks go in one batched product (key-set.ts). Cost N·(window + globals); what lies outside is dropped.
 *
 * Where q and k have different lengths (cross-attention) there is no "around": such sites are declined.
 */
import { optionsOf, queryBlock } from '../plan-options.js';
import type { Site } from '../site.js';
import { sequenceBlocks } from './blocks.js';
import { allKeys, attendKeySets, fixedPart, type Keys, windowOf, withoutFixed } from './key-set.js';
import { beyondKeyBias, type Lowering, numberOption } from './lowering.js';

export const windowLowering: Lowering = {
  summary: 'exact over a window and a few global keys: linear time, drops the far field',
  ...optionsOf('window'),
  declines: notAround,
  keyEquivalents: (options) => numberOption(options, 'window') + globalsOf(options.globals).length,
  lower(build, inputs, options) {
    const blocks = sequenceBlocks(build, inputs, { block: queryBlock, window: numberOption(options, 'window') });
    const all = allKeys(build, inputs);
    const globals = globalsOf(options.globals);
    const near = (rest: Keys) => ({ ...windowOf(build, blocks, rest), shared: false });
    if (globals.length === 0) return attendKeySets(build, inputs, blocks, [near(all)]);
    const rest = { ...all, bias: withoutFixed(build, all, globals) };
    return attendKeySets(build, inputs, blocks, [near(rest), fixedPart(build, all, globals)]);
  },
};

/** Why there is no "around a query" at a site, or undefined where there is. */
export function notAround(site: Site): string | undefined {
  const reason = beyondKeyBias(site);
  if (reason || site.operands.aligned) return reason;
  const what = site.kind === 'cross' ? 'this is cross-attention' : 'this site has a key cache';
  return `a window needs queries and keys of one sequence, and ${what}`;
}

function globalsOf(option: unknown): readonly number[] {
  return Array.isArray(option) ? option : Array.from({ length: Number(option) }, (_, i) => i);
}
