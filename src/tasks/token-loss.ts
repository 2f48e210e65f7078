/** How well a language model foretells a text, and where in it two models differ. */
import { toNumbers } from '../metrics.js';
import type { TensorLike } from '../session.js';
import { type Figure, pooledMean } from './figures.js';

/** What a model made of one token of a text. */
export interface TokenLoss {
  /** −log p, in nats. */
  readonly loss: number;
  /** The token that it took for the most likely. */
  readonly top: number;
}

/** One passage as both models read it: tokens after the first, in order. */
export interface ReadPassage {
  readonly original: readonly TokenLoss[];
  readonly patched: readonly TokenLoss[];
}

/** @param next the tokens that came after those of the rows of `logits` [1,N,vocabulary]; no more than N */
export function tokenLosses(logits: TensorLike, next: readonly number[]): TokenLoss[] {
  const values = toNumbers(logits);
  const vocabulary = logits.dims.at(-1) ?? 1;
  return next.map((id, n) => {
    const row = n * vocabulary;
    const top = argmax(values, row, row + vocabulary);
    let sum = 0;
    for (let i = row; i < row + vocabulary; i++) sum += Math.exp(values[i] - values[row + top]);
    return { loss: values[row + top] + Math.log(sum) - values[row + id], top };
  });
}

/** The most likely token after the last of `logits` [1,N,vocabulary]. */
export function nextToken(logits: TensorLike): number {
  const values = toNumbers(logits);
  return argmax(values, values.length - (logits.dims.at(-1) ?? 1), values.length);
}

/** Index, counted from `from`, of the first of the largest. */
function argmax(values: ArrayLike<number>, from: number, to: number): number {
  let best = from;
  for (let i = from + 1; i < to; i++) if (values[i] > values[best]) best = i;
  return best - from;
}

/** Loss and its change over all tokens of all passages, and by how many came before. Intervals: over passages. */
export function lossFigures(passages: readonly ReadPassage[]): Figure[] {
  const all = over(passages, 0, Number.POSITIVE_INFINITY);
  return [
    { ...all.original, name: 'loss of the original' },
    { ...all.change, name: 'change of the loss' },
    { ...all.sameTop, name: 'same most likely token' },
    ...lossByPosition(passages).map(({ from, change }) => ({
      ...change,
      name: `change of the loss from token ${from}`,
    })),
  ];
}

/** Tokens that were foretold from more than `from` and at most `to` others. */
export interface LossBucket {
  readonly from: number;
  /** Of the last one, where the longest passage ends. */
  readonly to: number;
  readonly tokens: number;
  readonly passages: number;
  /** Nats a token. */
  readonly original: Figure;
  readonly change: Figure;
  readonly sameTop: Figure;
}

const firstBucket = 256;

/** Up to 256, up to 512 and so on, doubling. */
export function lossByPosition(passages: readonly ReadPassage[]): LossBucket[] {
  const longest = Math.max(...passages.map(({ original }) => original.length));
  const buckets: LossBucket[] = [];
  for (let [from, to] = [0, firstBucket]; from < longest; [from, to] = [to, 2 * to]) {
    const inside = over(passages, from, to);
    buckets.push({ from, to: Math.min(to, longest), ...inside });
  }
  return buckets;
}

function over(passages: readonly ReadPassage[], from: number, to: number): Omit<LossBucket, 'from' | 'to'> {
  const parts = passages
    .map(({ original, patched }) => ({ original: original.slice(from, to), patched: patched.slice(from, to) }))
    .filter(({ original }) => original.length > 0);
  const pairs = (of: (want: TokenLoss, got: TokenLoss) => number) =>
    parts.map(({ original, patched }) => original.map((want, i) => of(want, patched[i])));
  return {
    tokens: parts.reduce((sum, { original }) => sum + original.length, 0),
    passages: parts.length,
    original: pooledMean(
      'loss',
      pairs((want) => want.loss),
    ),
    change: pooledMean(
      'change',
      pairs((want, got) => got.loss - want.loss),
    ),
    sameTop: pooledMean(
      'same most likely token',
      pairs((want, got) => Number(want.top === got.top)),
    ),
  };
}
