/**
 * What a model is for, as numbers: how far a patched model's answers are from the original's on the same inputs. Each
 * task reads the first output of the models and gives named figures, every one with a bootstrap interval over inputs
 * where it is a mean over inputs.
 */
import { correlation, toNumbers } from './metrics.js';
import type { Feeds, TensorLike } from './session.js';
import { bootstrap, type Figure, mean, quantile } from './tasks/figures.js';
import { lossFigures, tokenLosses } from './tasks/token-loss.js';

/** One input with the first output of both models. */
export interface TaskRun {
  readonly feeds: Feeds;
  readonly original: TensorLike;
  readonly patched: TensorLike;
}

export interface Task {
  readonly summary: string;
  /** Least number of inputs that it says anything on. */
  readonly least: number;
  measure(runs: readonly TaskRun[]): Figure[];
}

/** Sentence embedding: the mean over tokens, as the feature-extraction pipeline pools it, or what is pooled already. */
const embedding: Task = {
  summary: 'embeddings: cosine with the original, nearest neighbours and ranks kept',
  least: 3,
  measure(runs) {
    const [want, got] = [
      runs.map(({ feeds, original }) => pool(feeds, original)),
      runs.map(({ feeds, patched }) => pool(feeds, patched)),
    ];
    const cosines = want.map((vector, i) => dot(vector, got[i]));
    const neighbours = nearest(want, want);
    const agreement = (found: readonly number[]) => found.map((neighbour, i) => (neighbour === neighbours[i] ? 1 : 0));
    return [
      mean('cosine', cosines),
      { name: 'cosine, 5th percentile', value: quantile(cosines, 0.05) },
      mean('nearest neighbour kept', agreement(nearest(got, got))),
      mean('nearest neighbour kept among the original’s', agreement(nearest(got, want))),
      {
        name: 'rank correlation of similarities',
        value: correlation(ranks(similarities(got)), ranks(similarities(want))),
      },
    ];
  },
};

/** A map or any dense output. */
const dense: Task = {
  summary: 'maps: correlation with the original',
  least: 1,
  measure(runs) {
    const values = runs.map(({ original, patched }) => correlation(numbers(patched), numbers(original)));
    const differences = runs.map(({ original, patched }) => {
      const [a, b] = [numbers(patched), numbers(original)];
      return b.reduce((sum: number, x, i) => sum + Math.abs(a[i] - x), 0) / b.length;
    });
    return [
      mean('correlation', values),
      { name: 'correlation, least', value: Math.min(...values) },
      mean('mean absolute difference', differences),
    ];
  },
};

/** Logits [B,classes]. */
const classification: Task = {
  summary: 'classes: the same answer as the original',
  least: 1,
  measure: (runs) => [
    mean(
      'same class',
      runs.map(({ original, patched }) => Number(argmax(numbers(original)) === argmax(numbers(patched)))),
    ),
  ],
};

/** Logits [1,N,vocabulary] of a causal model: the likelihood of the text it was given. */
const nextToken: Task = {
  summary: 'language models: loss in nats a token, by position, and the same most likely token',
  least: 1,
  measure: (runs) =>
    lossFigures(
      runs.map(({ feeds, original, patched }) => {
        const next = numbers(feeds.input_ids).slice(1);
        return { original: tokenLosses(original, next), patched: tokenLosses(patched, next) };
      }),
    ),
};

/** One recording: what was said, and what both models made of it. */
export interface Transcript {
  /** Where it is known. */
  readonly reference?: string;
  readonly original: string;
  readonly patched: string;
}

/**
 * Word error rates: least number of words inserted, deleted or exchanged (Levenshtein 1966) ÷ words of the reference, all
 * recordings together; intervals by resampling recordings. Case and punctuation do not count.
 */
export function measureTranscripts(transcripts: readonly Transcript[]): Figure[] {
  const rate = (name: string, of: (one: Transcript) => { text: string; reference: string } | undefined): Figure[] => {
    const pairs = transcripts
      .flatMap((one) => of(one) ?? [])
      .map(({ text, reference }) => [wordsOf(text), wordsOf(reference)]);
    if (pairs.length === 0) return [];
    const counts = pairs.map(([text, reference]) => ({
      errors: editDistance(text, reference),
      words: reference.length,
    }));
    const share = (some: typeof counts) =>
      some.reduce((sum, { errors }) => sum + errors, 0) /
      Math.max(
        1,
        some.reduce((sum, { words }) => sum + words, 0),
      );
    return [{ name, value: share(counts), interval: bootstrap(counts, share) }];
  };
  const known = (text: (one: Transcript) => string) => (one: Transcript) =>
    one.reference === undefined ? undefined : { text: text(one), reference: one.reference };
  return [
    ...rate(
      'words wrong, original',
      known(({ original }) => original),
    ),
    ...rate(
      'words wrong, patched',
      known(({ patched }) => patched),
    ),
    ...rate('words unlike the original’s', ({ patched, original }) => ({ text: patched, reference: original })),
  ];
}

export const tasks = { embedding, dense, classification, 'next-token': nextToken } satisfies Record<string, Task>;
export type TaskName = keyof typeof tasks;

/** Unit vector: the mean of [1,N,D] over the tokens that are not masked, or a vector that is one already. */
function pool(feeds: Feeds, output: TensorLike): Float64Array {
  const values = numbers(output);
  const D = output.dims.at(-1) ?? 1;
  const N = output.dims.length >= 3 ? (output.dims.at(-2) ?? 1) : 1;
  const mask = feeds.attention_mask && numbers(feeds.attention_mask);
  const vector = new Float64Array(D);
  for (let n = 0; n < N; n++) {
    if (mask && N > 1 && mask[n] === 0) continue;
    for (let d = 0; d < D; d++) vector[d] += values[n * D + d];
  }
  const norm = Math.sqrt(dot(vector, vector)) || 1;
  return vector.map((x) => x / norm);
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}

/** Index of the nearest other one of `among`, for each of `vectors`. */
function nearest(vectors: readonly Float64Array[], among: readonly Float64Array[]): number[] {
  return vectors.map((vector, i) => {
    let best = { at: -1, cosine: Number.NEGATIVE_INFINITY };
    for (const [at, other] of among.entries()) {
      const cosine = at === i ? Number.NEGATIVE_INFINITY : dot(vector, other);
      if (cosine > best.cosine) best = { at, cosine };
    }
    return best.at;
  });
}

function similarities(vectors: readonly Float64Array[]): number[] {
  return vectors.flatMap((vector, i) => vectors.slice(i + 1).map((other) => dot(vector, other)));
}

/** Rank of each value; ties share their mean rank. */
export function ranks(values: readonly number[]): number[] {
  const order = Array.from(values.keys()).sort((a, b) => values[a] - values[b]);
  const rank = new Array<number>(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1]] === values[order[from]]) to++;
    for (let i = from; i <= to; i++) rank[order[i]] = (from + to) / 2;
    from = to + 1;
  }
  return rank;
}

function argmax(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
}

function numbers(tensor: TensorLike | undefined): number[] {
  return Array.from(toNumbers(tensor));
}

function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}'’\s]/gu, ' ')
    .split(/\s+/)
    .filter(Boolean);
}

function editDistance(a: readonly string[], b: readonly string[]): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, word] of a.entries()) {
    const next = [i + 1];
    for (const [j, other] of b.entries())
      next.push(Math.min(row[j] + (word === other ? 0 : 1), row[j + 1] + 1, next[j] + 1));
    row = next;
  }
  return row[b.length];
}
