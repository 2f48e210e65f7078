/** 20,000 cases by a fixed seed, and proof that the fuzzer sees what it looks for. A million: test/fuzz/run.ts. */
import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { PerformersError } from '../../src/errors.js';
import { decode } from '../../src/onnx/decode.js';
import { allowedMs, bytesOf, caseOf, survive } from './case.js';
import { fuzz } from './fuzz.js';
import { fileOf, sources } from './sources.js';

test('20,000 cases: a result or a typed error, in bounded time and memory', async () => {
  const jobs = Math.min(4, Math.max(2, availableParallelism()));
  const { cases, failures, outcomes, peakMB } = await fuzz({ seed: 20_000_000, cases: 20_000, jobs });
  expect(failures).toEqual([]);
  expect(cases).toBe(20_000);
  expect(peakMB).toBeLessThan(1024);
  // All ways out are taken: a fuzzer whose every file is refused at the door tests the door.
  const { rewritten = 0, refused = 0, 'no sites': none = 0 } = outcomes;
  expect(rewritten + refused + none).toBe(20_000);
  expect(Math.min(rewritten, none)).toBeGreaterThan(500);
}, 900_000);

test('a seed is one case, here and everywhere', () => {
  expect(caseOf(7)).toEqual(caseOf(7));
  expect(caseOf(7)).not.toEqual(caseOf(8));
  expect(Buffer.compare(bytesOf(caseOf(7)), bytesOf(caseOf(7)))).toBe(0);
});

test('graphs that nothing was done to survive, and are rewritten where they have attention', async () => {
  const outcomes = new Set<string>();
  for (const name of new Set(sources)) outcomes.add(await survive(fileOf(name).bytes, 'exact'));
  expect([...outcomes].sort()).toEqual(['no sites', 'rewritten']);
});

test('what is no PerformersError is a failure', async () => {
  const notBytes = new Proxy(fileOf(sources[0] ?? '').bytes, {
    get(target, key) {
      if (key === 'byteLength') throw new RangeError('a fault of this program');
      return Reflect.get(target, key);
    },
  });
  expect(() => decode(notBytes)).not.toThrow(PerformersError);
  await expect(survive(notBytes, 'exact')).rejects.toThrow('a fault of this program');
  expect(allowedMs(1_000_000)).toBe(3000);
});
