/**
 * Exact softmax over a set of keys for every block of queries: the `window` keys around the block and a few global
 * keys every query sees.
 *
 *   K_b = [ window keys | global keys ],  V_b likewise, one bias a key;   O_b = softmax(x_b K_bᵀ + bias_b) V_b
 *
 * All blocks go in one batched product. The same form carries scored globals, codebook summaries and block lists:
 * each is one more part of the key set (key-set.ts). Cost N·(window + globals); what lies outside is dropped.
 *
 * Where q and k have different lengths (cross-attention) there is no "around": such sites are declined.
 */
import { attendKeySets, blockQueries, globalPart, windowPart } from './key-set.js';
import { beyondKeyBias, defaultsOf, type Lowering, numberOption, type OptionRule, optionReader } from './lowering.js';

/** Queries a block. 32 is what the measurements of the recipe were made with. */
const queryBlock = 32;

const rules: Record<string, OptionRule> = {
  window: {
    default: 64,
    valid: (value) =>
      Number.isInteger(value) && Number(value) >= queryBlock && Number(value) % 2 === 0 && Number(value) <= 65536,
    expected: `an even integer of at least ${queryBlock}, the query block`,
  },
  globals: {
    default: 4,
    valid: (value) =>
      isCount(value) ||
      (Array.isArray(value) && value.length > 0 && value.every(isCount) && new Set(value).size === value.length),
    expected: 'a number of first tokens, or a list of distinct token indices',
  },
};

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 65536;
}

export const windowLowering: Lowering = {
  summary: 'exact over a window and a few global keys: linear time, drops the far field',
  defaults: defaultsOf(rules),
  readOptions: optionReader('window', rules),
  declines(site) {
    const reason = beyondKeyBias(site);
    if (reason || site.operands.aligned) return reason;
    const what = site.kind === 'cross' ? 'this is cross-attention' : 'this site has a key cache';
    return `a window needs queries and keys of one sequence, and ${what}`;
  },
  keyEquivalents: (options) => numberOption(options, 'window') + globalsOf(options.globals).length,
  lower(build, inputs, options) {
    const blocks = blockQueries(build, inputs, queryBlock);
    const globals = globalsOf(options.globals);
    const parts = globals.length > 0 ? [globalPart(build, inputs, blocks, globals)] : [];
    const local = windowPart(build, inputs, blocks, { window: numberOption(options, 'window'), exclude: globals });
    return attendKeySets(build, inputs, blocks, [local, ...parts]);
  },
};

function globalsOf(option: unknown): readonly number[] {
  return Array.isArray(option) ? option : Array.from({ length: Number(option) }, (_, i) => i);
}
