/** The results of `performers bench` and of its page that are committed: by the schema of today, and claiming nothing they cannot. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { BenchResult } from '../../src/bench/result.js';
import { violations } from '../json-schema.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string) => JSON.parse(readFileSync(`${root}${path}`, 'utf8'));
const files = readdirSync(`${root}bench/results`).filter((name) => /^bench-.*\.json$/.test(name));

describe.each(files)('bench/results/%s', (name) => {
  const result: BenchResult = read(`bench/results/${name}`);

  test('fits the schema', () => {
    expect(violations(result, read('docs/bench.schema.json'))).toEqual([]);
    expect(violations({ ...result, title: undefined }, read('docs/bench.schema.json'))).not.toEqual([]);
  });

  test('of software in the place of a GPU it says so in its title, and claims no speed', () => {
    const software = result.backends.filter(({ adapter }) => adapter?.software).map(({ name }) => name);
    expect(/software adapter.*says nothing about speed/.test(result.title)).toBe(software.length > 0);
    const own = result.summary.filter(({ backend }) => software.includes(backend));
    expect(own.flatMap(({ crossover }) => crossover ?? [])).toEqual([]);
    expect(result.backends.every(({ adapter, roofline }) => !(adapter?.software && roofline))).toBe(true);
  });

  test('what is exact and ran on what is no software is exact', () => {
    const exact = result.methods.filter(({ kind }) => kind === 'exact').map(({ name }) => name);
    for (const cell of result.cells) {
      const { adapter } = result.backends.find(({ name }) => name === cell.backend) ?? {};
      if (cell.status === 'ok' && exact.includes(cell.method) && !adapter?.software)
        expect(cell.error).toBeLessThan(1e-5);
    }
  });
});
