import { describe, expect, it } from 'vitest';
import { gaussians } from '../src/features/rng.js';
import { type Figure, mean } from '../src/tasks/figures.js';
import { measureTranscripts, type TaskRun, tasks } from '../src/tasks.js';

const normal = gaussians(9);
const tensor = (dims: readonly number[], value: () => number = normal) => ({
  type: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => value()),
});
const near = (original: ReturnType<typeof tensor>, noise: number) => ({
  ...original,
  data: original.data.map((x) => x + noise * normal()),
});
const figureOf = (figures: readonly Figure[], name: string) =>
  figures.find((figure) => figure.name === name)?.value ?? Number.NaN;

describe('embedding', () => {
  const runs = (noise: number): TaskRun[] =>
    Array.from({ length: 20 }, () => {
      const original = tensor([1, 7, 16]);
      return { feeds: {}, original, patched: near(original, noise) };
    });
  it('is perfect where nothing differs, and falls with what does', () => {
    const [same, little, much] = [0, 0.2, 2].map((noise) => tasks.embedding.measure(runs(noise)));
    for (const { name, value } of same) expect(value, name).toBeCloseTo(1, 10);
    expect(figureOf(little, 'cosine')).toBeGreaterThan(0.95);
    expect(figureOf(much, 'cosine')).toBeLessThan(0.7);
    expect(figureOf(much, 'nearest neighbour kept')).toBeLessThan(figureOf(little, 'nearest neighbour kept'));
    expect(figureOf(much, 'rank correlation of similarities')).toBeLessThan(0.8);
  });
  it('does not look at padding', () => {
    const mask = { type: 'int64', dims: [1, 7], data: BigInt64Array.of(1n, 1n, 1n, 1n, 0n, 0n, 0n) };
    const padded = Array.from({ length: 20 }, () => {
      const original = tensor([1, 7, 16]);
      const patched = { ...original, data: original.data.map((x, i) => (i < 4 * 16 ? x : -x)) };
      return { feeds: { attention_mask: mask }, original, patched };
    });
    expect(figureOf(tasks.embedding.measure(padded), 'cosine')).toBeCloseTo(1, 10);
    const open = padded.map((run) => ({ ...run, feeds: {} }));
    expect(figureOf(tasks.embedding.measure(open), 'cosine')).toBeLessThan(0.9);
  });
});

it('dense and classification say what agrees', () => {
  const original = tensor([1, 1, 8, 8]);
  const flipped = { ...original, data: original.data.map((x) => -x) };
  const scaled = { ...original, data: original.data.map((x) => 2 * x + 1) };
  const figures = tasks.dense.measure([
    { feeds: {}, original, patched: scaled },
    { feeds: {}, original, patched: flipped },
  ]);
  expect(figureOf(figures, 'correlation')).toBeCloseTo(0, 6);
  expect(figureOf(figures, 'correlation, least')).toBeCloseTo(-1, 6);
  const logits = (...data: number[]) => ({ type: 'float32', dims: [1, 3], data: Float32Array.from(data) });
  const classes = tasks.classification.measure([
    { feeds: {}, original: logits(0, 2, 1), patched: logits(0, 3, 1) },
    { feeds: {}, original: logits(0, 2, 1), patched: logits(4, 3, 1) },
  ]);
  expect(figureOf(classes, 'same class')).toBe(0.5);
});

it('next-token: the loss is that of the softmax over the vocabulary, one token ahead', () => {
  const ids = [3, 0, 2, 1];
  const feeds = { input_ids: { type: 'int64', dims: [1, 4], data: BigInt64Array.from(ids, BigInt) } };
  const original = tensor([1, 4, 5]);
  const patched = near(original, 0.5);
  const loss = ({ data }: { data: Float32Array }) =>
    ids.slice(1).reduce((sum, id, n) => {
      const row = Array.from(data.subarray(n * 5, n * 5 + 5), Math.exp);
      return sum - Math.log(row[id] / row.reduce((a, b) => a + b, 0)) / 3;
    }, 0);
  const figures = tasks['next-token'].measure([{ feeds, original, patched }]);
  expect(figureOf(figures, 'loss of the original')).toBeCloseTo(loss(original), 10);
  expect(figureOf(figures, 'change of the loss')).toBeCloseTo(loss(patched) - loss(original), 10);
  expect(figureOf(figures, 'change of the loss from token 0')).toBeCloseTo(loss(patched) - loss(original), 10);
});

it('intervals hold the mean of the population as often as they say', () => {
  let held = 0;
  for (let i = 0; i < 200; i++) {
    const { interval = [0, 0] } = mean(
      'x',
      Array.from({ length: 40 }, () => 5 + normal()),
    );
    if (interval[0] <= 5 && 5 <= interval[1]) held++;
  }
  // 95 % of 200 is 190; a percentile bootstrap of 40 falls a little short. Of 5 % intervals there would be 10.
  expect(held).toBeGreaterThan(175);
  expect(held).toBeLessThan(200);
});

describe('transcripts', () => {
  const reference = 'He might even have been made amiable himself';
  it('count words inserted, deleted and exchanged, without case and punctuation', () => {
    const figures = measureTranscripts([
      {
        reference,
        original: 'He might even have been made amiable himself.',
        patched: 'he might have been mad amiable him self',
      },
      { original: 'One two three', patched: 'one, two' },
    ]);
    // even deleted, made exchanged, himself exchanged for two: 4 of 8.
    expect(figureOf(figures, 'words wrong, original')).toBe(0);
    expect(figureOf(figures, 'words wrong, patched')).toBe(4 / 8);
    expect(figureOf(figures, 'words unlike the original’s')).toBe(5 / 11);
    for (const { interval = [1, 0], value } of figures) {
      expect(interval[0]).toBeLessThanOrEqual(value);
      expect(interval[1]).toBeGreaterThanOrEqual(value);
    }
  });
  it('of which nobody knows the words are compared with each other only', () => {
    const figures = measureTranscripts([{ original: 'a b', patched: '' }]);
    expect(figures.map(({ name, value }) => [name, value])).toEqual([['words unlike the original’s', 1]]);
  });
});
