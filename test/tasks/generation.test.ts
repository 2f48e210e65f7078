import { describe, expect, test } from 'vitest';
import { agreement, type GenerationRun, summariseGeneration } from '../../src/tasks/generation.js';
import { retrievalFigures } from '../../src/tasks/retrieval.js';

describe('generation', () => {
  test('agrees until the first token that differs', () => {
    expect(agreement({ original: [5, 6, 7], patched: [5, 6, 7] })).toBe(3);
    expect(agreement({ original: [5, 6, 7], patched: [5, 9, 7] })).toBe(1);
    expect(agreement({ original: [5, 6, 7], patched: [4, 6, 7] })).toBe(0);
  });

  const run = (length: number, wrongFrom: number, ms: number): GenerationRun => {
    const loss = (more: number) => Array.from({ length: length - 1 }, () => ({ loss: 1 + more, top: 0 }));
    return {
      length,
      prompt: length - 4,
      losses: { original: loss(0), patched: loss(0.25) },
      promptMs: { original: 10 * ms, patched: 5 * ms },
      generated: { original: [1, 2, 3, 4], patched: [1, 2, 3, 4].map((id, i) => (i < wrongFrom ? id : 9)) },
      stepMs: { original: [ms, ms, 100 * ms], patched: [2 * ms, 2 * ms, 2 * ms] },
      bytes: { original: 8 * length, patched: 100 },
    };
  };

  test('is summed up by length', () => {
    const { figures, lengths } = summariseGeneration([run(16, 4, 1), run(16, 1, 1), run(32, 2, 3)]);
    expect(lengths.map(({ length, passages, alike }) => [length, passages, alike.value])).toEqual([
      [16, 2, 2.5],
      [32, 1, 2],
    ]);
    // Medians: one slow call does not count.
    expect(lengths.map(({ msPerToken }) => msPerToken)).toEqual([
      { original: 1, patched: 2 },
      { original: 3, patched: 6 },
    ]);
    expect(lengths[1].bytes).toEqual({ original: 256, patched: 100 });
    expect(lengths[0].promptTokensPerSecond).toEqual({ original: 1200, patched: 2400 });
    expect(lengths[0].change.value).toBeCloseTo(0.25, 12);
    const alike = figures.find(({ name }) => name === 'tokens generated alike, of 4');
    expect(alike?.value).toBeCloseTo(7 / 3, 12);
  });
});

test('pass codes count where they stand in the answer', () => {
  const answer = (original: string, patched: string) => ({
    length: 64,
    depth: 0.5,
    code: '73914',
    answer: { original, patched },
  });
  const figures = retrievalFigures([
    answer('The code is 73914.', '73914'),
    answer('1. 73914', 'It is 73941.'),
    answer('None.', 'The code: 73914'),
  ]);
  expect(figures.map(({ value }) => value)).toEqual([2 / 3, 2 / 3, 1 / 2]);
  expect(retrievalFigures([answer('no', 'no')]).map(({ value }) => value)).toEqual([0, 0]);
});
