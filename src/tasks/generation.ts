/** A language model and its patched form as they generate: likelihood, text, time and what goes from call to call. */
import { average, type Figure, mean, quantile } from './figures.js';
import { type LossBucket, lossByPosition, lossFigures, type ReadPassage } from './token-loss.js';

/** What is known of both models. */
export interface Both<T> {
  readonly original: T;
  readonly patched: T;
}

/** Both models on one passage, call by call in turns. */
export interface GenerationRun {
  /** Tokens of the passage. */
  readonly length: number;
  readonly losses: ReadPassage;
  /** Tokens of the passage that are read before something is generated. */
  readonly prompt: number;
  readonly promptMs: Both<number>;
  /** What greedy decoding goes on with, each model on its own tokens. */
  readonly generated: Both<readonly number[]>;
  /** Of every call for one token. */
  readonly stepMs: Both<readonly number[]>;
  /** Between calls, after the prompt. */
  readonly bytes: Both<number>;
}

export interface LengthRow {
  /** Tokens of a passage. */
  readonly length: number;
  readonly passages: number;
  /** Nats a token. */
  readonly loss: number;
  readonly change: Figure;
  readonly sameTop: Figure;
  /** Tokens generated until the first that differs. */
  readonly alike: Figure;
  readonly bytes: Both<number>;
  /** Median. */
  readonly msPerToken: Both<number>;
  readonly promptTokensPerSecond: Both<number>;
}

export interface GenerationSummary {
  readonly figures: readonly Figure[];
  readonly lengths: readonly LengthRow[];
  readonly positions: readonly LossBucket[];
}

export function summariseGeneration(runs: readonly GenerationRun[]): GenerationSummary {
  const most = Math.max(...runs.map(({ generated }) => generated.original.length));
  const alike = (some: readonly GenerationRun[], name: string) =>
    mean(
      name,
      some.map(({ generated }) => agreement(generated)),
    );
  const lengths = [...new Set(runs.map(({ length }) => length))].sort((a, b) => a - b);
  const rows = lengths.map((length): LengthRow => {
    const own = runs.filter((run) => run.length === length);
    const [loss, change, sameTop] = lossFigures(own.map(({ losses }) => losses));
    const both = (of: (side: keyof Both<unknown>) => number) => ({ original: of('original'), patched: of('patched') });
    return {
      length,
      passages: own.length,
      loss: loss.value,
      change,
      sameTop,
      alike: alike(own, 'tokens generated alike'),
      bytes: both((side) => Math.max(...own.map(({ bytes }) => bytes[side]))),
      msPerToken: both((side) =>
        quantile(
          own.flatMap(({ stepMs }) => stepMs[side]),
          0.5,
        ),
      ),
      promptTokensPerSecond: both(
        (side) => (1000 * average(own.map(({ prompt }) => prompt))) / average(own.map((run) => run.promptMs[side])),
      ),
    };
  });
  const figures = lossFigures(runs.map(({ losses }) => losses));
  return {
    figures: [...figures, alike(runs, `tokens generated alike, of ${most}`)],
    lengths: rows,
    positions: lossByPosition(runs.map(({ losses }) => losses)),
  };
}

/** Tokens until the first that differs; all, where none does. */
export function agreement({ original, patched }: Both<readonly number[]>): number {
  const first = original.findIndex((token, i) => token !== patched[i]);
  return first < 0 ? original.length : first;
}
