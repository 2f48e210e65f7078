/** Every entry of every registry, given what it cannot work with: a typed error that names the argument, its value and the remedy. */
import { describe, expect, it } from 'vitest';
import { PerformersError } from '../../src/errors.js';
import * as features from '../../src/features/index.js';

const data = features.samplers.iid({ m: 40, d: 3, seed: 1 });
const labels = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 1 : -1));
const nan = data.map((value, i) => (i === 7 ? Number.NaN : value));
const infinite = data.map((value, i) => (i === 7 ? Number.POSITIVE_INFINITY : value));
const kernel = features.kernels.rbf({ d: 3 });

/** A call with one argument wrong, that argument's name in the error, and its value. */
type Case = readonly [what: string, call: () => unknown, name: string, got: string];

const counts = (make: (given: { m?: number; d?: number; seed?: number }) => unknown): Case[] => [
  ['m = 0', () => make({ m: 0 }), 'm', 'got 0'],
  ['m = NaN', () => make({ m: Number.NaN }), 'm', 'got NaN'],
  ['d = 0', () => make({ d: 0 }), 'd', 'got 0'],
  ['a seed of NaN', () => make({ seed: Number.NaN }), 'seed', 'got NaN'],
];
const rows = (map: (x: ArrayLike<number>) => unknown): Case[] => [
  ['NaN in x', () => map(nan), 'x[7]', 'got NaN'],
  ['an infinity in x', () => map(infinite), 'x[7]', 'got Infinity'],
  ['rows of another width', () => map(data.subarray(1)), 'x', '119'],
];
const named = <T>(registry: string, entries: Readonly<Record<string, T>>, cases: (entry: T) => Case[]) =>
  Object.entries(entries).flatMap(([name, entry]) =>
    cases(entry).map(([what, ...rest]): Case => [`${registry}.${name}: ${what}`, ...rest]),
  );

const options = { d: 3, m: 8, seed: 1 };
const withData = { ...options, rows: data, labels };
/** A transform needs more rows than moments; a map of fixed width ignores m and draws nothing; greedy landmarks draw nothing. */
const draws = Object.fromEntries(
  Object.entries(features.rowMaps).filter(([name]) => !['taylor2', 'cosformer'].includes(name)),
);

const all: readonly Case[] = [
  ...named('samplers', features.samplers, (sampler) => counts((given) => sampler({ ...options, ...given }))),
  ...named('samplerTransforms', features.samplerTransforms, (transform) =>
    counts((given) => transform(features.samplers.iid)({ ...options, ...given })),
  ),
  ...named('applies', features.applies, (apply) => [
    ...counts((given) => apply({ ...options, ...given })(data)),
    ...rows((x) => apply(options)(Float64Array.from(x))),
  ]),
  ...named('featureMaps', features.featureMaps, (map) =>
    counts(({ d = 4, ...given }) => map({ heads: 2, headDim: d, m: 8, ...given })),
  ),
  ...named('rowMaps, drawn', draws, (map) => counts((given) => map({ ...options, ...given }))),
  ...named('rowMaps', features.rowMaps, (map) => rows(map({ ...options, ...{ length: 64 } }).phi)),
  ...named('pairMaps', features.pairMaps, (map) => rows(map(options).query)),
  ...named('landmarkMaps', features.landmarkMaps, (map) => [
    ...counts((given) => map({ ...withData, ...given })),
    ...rows(map(withData).key),
  ]),
  ...named('landmarkChoices', features.landmarkChoices, (choose) => [
    ['m = 0', () => choose({ ...withData, m: 0 }), 'm', 'got 0'],
    ['NaN in rows', () => choose({ ...withData, rows: nan }), 'rows[7]', 'got NaN'],
  ]),
  ...named('dataSamplers', features.dataSamplers, (sampler) => [
    ...counts((given) => sampler({ ...withData, ...given })),
    ['NaN in rows', () => sampler({ ...withData, rows: nan }), 'rows[7]', 'got NaN'],
    ['a negative bandwidth', () => sampler({ ...withData, sigma: -1 }), 'sigma', 'got -1'],
  ]),
  ...named('kernels', features.kernels, (make) => [
    ['d = 0', () => make({ d: 0 }), 'd', 'got 0'],
    ['NaN in x', () => features.gram(make({ d: 3 }), [Number.NaN, 0, 1]), 'x[0]', 'got NaN'],
    ['rows of another width', () => features.gram(make({ d: 3 }), data.subarray(1)), 'x', '119'],
  ]),
  ...named('methods', features.methods, (method) => [
    ...counts(({ d = 3, ...given }) => method(features.kernels.rbf({ d }), { ...options, ...given })),
    ...rows(method(kernel, { m: 64 }).phi),
  ]),
];

describe('bad input', () => {
  it.each(all)('%s', (_what, call, name, got) => {
    const error = thrown(call);
    expect(error).toBeInstanceOf(PerformersError);
    if (!(error instanceof PerformersError)) return;
    const [first] = error.message.split('\n');
    expect(first).toContain(name);
    expect(first).toContain(got);
    expect(error.at).toBeTruthy();
    expect(error.mend).toBeTruthy();
  });

  it('leaves no registry out', () => {
    const registries = Object.entries(features).flatMap(([name, value]) => (typeof value === 'object' ? [name] : []));
    const covered = new Set(all.map(([what]) => what.split(/[.,]/)[0]));
    // asymmetricMaps ask for moments: test/features/aderf.test.ts. activations are functions of one number.
    expect(registries.filter((name) => !covered.has(name)).sort()).toEqual(['activations', 'asymmetricMaps']);
  });
});

function thrown(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}
