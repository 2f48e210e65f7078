/** Passages that repeat runs of themselves, which shows which heads look up what was said (src/calibrate/recall.ts). */
import { describe, expect, it } from 'vitest';
import { repeatRuns } from '../../src/calibrate/recall.js';

/** Every token of its own, so that what is repeated says where it is from. */
const passage = (length: number) => Array.from({ length }, (_, i) => 1000 + i);

/** Lengths of the runs of tokens that are not at home, with how far back they are from, as of the first of each. */
function repeats(ids: readonly number[]) {
  const found: { at: number; back: number; length: number }[] = [];
  for (const [at, id] of ids.entries()) {
    const back = at - (id - 1000);
    const last = found.at(-1);
    if (back === 0) continue;
    if (last && last.back === back && last.at + last.length === at) last.length++;
    else found.push({ at, back, length: 1 });
  }
  return found;
}

describe.each([256, 300, 1024])('of %i tokens', (length) => {
  const run = Math.floor(length / 32);
  const [ids] = repeatRuns([passage(length)]);

  it('the first three quarters stay', () => {
    expect(ids.slice(0, Math.floor(0.75 * length))).toEqual(passage(length).slice(0, Math.floor(0.75 * length)));
  });
  it('half of the rest are runs from beyond five runs back', () => {
    const found = repeats(ids);
    expect(found.map(({ at }) => at)).toEqual([0, 2, 4, 6].map((i) => Math.floor(0.75 * length) + i * run));
    for (const { back, length: tokens } of found) {
      expect(tokens).toBe(run);
      expect(back).toBeGreaterThan(6 * run - 1);
    }
  });
  it('as many tokens as before', () => {
    expect(ids).toHaveLength(length);
  });
});

it('the same seed repeats the same, another other runs, and every passage its own', () => {
  const two = [passage(512), passage(512)];
  expect(repeatRuns(two, 3)).toEqual(repeatRuns(two, 3));
  expect(repeatRuns(two, 3)).not.toEqual(repeatRuns(two, 4));
  const [a, b] = repeatRuns(two, 3);
  expect(a).not.toEqual(b);
});

it('what it was given stays as it was', () => {
  const given = passage(512);
  repeatRuns([given]);
  expect(given).toEqual(passage(512));
});

it('a passage that is too short says how long it must be', () => {
  expect(() => repeatRuns([passage(255)])).toThrow('passages of 255 tokens are too short to repeat runs of themselves');
});
