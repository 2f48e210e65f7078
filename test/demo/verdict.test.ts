import { expect, test } from 'vitest';
import { judge, verdictRule } from '../../demo/verdict.js';

test.each([
  [1, 0, 'same answer'],
  [0.999, 0.02, 'same answer'],
  [0.9989, 0.02, 'close'],
  // A map that is twice as bright correlates perfectly.
  [1, 1, 'another model'],
  [0.999, 0.021, 'close'],
  [0.95, 0.25, 'close'],
  [0.9499, 0.1, 'another model'],
  [0.99, 0.26, 'another model'],
  [-1, 2, 'another model'],
  [Number.NaN, Number.POSITIVE_INFINITY, 'another model'],
] as const)('correlation %d with error %d is %s', (correlation, error, verdict) => {
  expect(judge({ correlation, error })).toBe(verdict);
});

test('the rule is said in words', () => {
  expect(verdictRule()).toMatchInlineSnapshot(
    `"'same answer' from correlation 0.999 and up to 2 % error, 'close' from correlation 0.95 and up to 25 % error, otherwise 'another model'"`,
  );
});
