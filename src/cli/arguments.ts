import { InvalidArgumentError } from 'commander';
import type { NodeRuntime } from '../adapters/runtime.node.js';
import { type HealLevel, healMethods } from '../calibrate/heal/healing.js';
import type { LayerRule } from '../rewrite/plan.js';

/** `0-3,7` → [0, 1, 2, 3, 7] */
export function readIndices(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const range = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(part);
    const [first, last] = [Number(range?.[1]), Number(range?.[2] ?? range?.[1])];
    if (!range || last < first) throw new InvalidArgumentError(`'${part}' is no index or range such as 0-3.`);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** `0-3,7=window:window=128`, or with heads `5/0-2=features:m=64`; collects repeated options. */
export function readLayers(text: string, rules: readonly LayerRule[] = []): LayerRule[] {
  const [where = '', plan] = text.split(/=(.*)/s);
  const [layers = '', heads, ...more] = where.split('/');
  if (!plan || more.length > 0) throw new InvalidArgumentError(`write LAYERS[/HEADS]=PLAN, such as 0-3=window.`);
  const rule = { layers: readIndices(layers), plan, ...(heads !== undefined && { heads: readIndices(heads) }) };
  return [...rules, rule];
}

/** A list of positive whole numbers. */
export function readCounts(text: string): number[] {
  return text.split(',').map(readCount);
}

export function readCount(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError(`'${text}' is no whole number above 0.`);
}

/** Names separated by commas. */
export function readNames(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.every((name) => name !== '')) return names;
  throw new InvalidArgumentError(`'${text}' is no list of names such as grff,gorf.`);
}

/** `gain,mlp` → ['gain', 'mlp'] */
export function readHealing(text: string): HealLevel[] {
  const known = Object.keys(healMethods);
  return readNames(text).map((name) => {
    if (isHealLevel(name)) return name;
    throw new InvalidArgumentError(`'${name}' is no way to heal; they are ${known.join(', ')}.`);
  });
}

function isHealLevel(name: string): name is HealLevel {
  return Object.hasOwn(healMethods, name);
}

export function readPositive(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError(`'${text}' is no number above 0.`);
}

export function readBound(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0) return value;
  throw new InvalidArgumentError(`'${text}' is no number from 0 up, such as 1e-3.`);
}

/** `10%` or `0.1` → 0.1 */
export function readShare(text: string): number {
  const value = text.endsWith('%') ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (text.trim() !== '' && value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError(`'${text}' is no share such as 10% or 0.1.`);
}

export const runtimeChoices = { node: ['node'], wasm: ['wasm'], both: ['node', 'wasm'] } satisfies Record<
  string,
  NodeRuntime[]
>;
export type RuntimeChoice = keyof typeof runtimeChoices;
