import { describe, expect, test } from 'vitest';
import { readBound, readCount, readIndices, readLayers } from '../../src/cli/arguments.js';
import { digits, formatIndices, table } from '../../src/cli/output.js';

describe('rules', () => {
  test('layers, heads and a plan with options of its own', () => {
    const first = readLayers('0-2,7=window:window=128');
    expect(first).toEqual([{ layers: [0, 1, 2, 7], plan: 'window:window=128' }]);
    expect(readLayers('5/0,3=exact', first)).toEqual([...first, { layers: [5], heads: [0, 3], plan: 'exact' }]);
  });

  test.each(['', '3', '3=', '=exact', '3-1=exact', '1/2/3=exact', '-1=exact', 'a=exact'])('%j is none', (text) => {
    expect(() => readLayers(text)).toThrow();
  });
});

test('numbers', () => {
  expect([readCount('12'), readBound('1e-3'), readBound('0')]).toEqual([12, 1e-3, 0]);
  for (const text of ['0', '-1', '1.5', '', 'x']) expect(() => readCount(text)).toThrow();
  for (const text of ['-1', '', 'x', 'NaN']) expect(() => readBound(text)).toThrow();
});

test('indices are printed as they are read', () => {
  for (const text of ['0', '0-3', '0-3,7', '1,3,5-6']) expect(formatIndices(readIndices(text))).toBe(text);
});

test('tables line up, numbers to the right', () => {
  const text = table(
    ['name', 'ms'],
    [
      ['a', digits(1234.5)],
      ['longer', digits(0.000123)],
    ],
  );
  expect(text.split('\n')).toEqual(['name        ms', 'a         1230', 'longer  1.2e-4']);
});
