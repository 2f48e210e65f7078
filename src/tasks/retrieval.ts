/** Whether a language model finds again what was said once, far back. */
import { type Figure, mean } from './figures.js';
import type { Both } from './generation.js';

/** A pass code put into a text, asked for at its end. */
export interface CodeAnswer {
  /** Tokens of the text with the question. */
  readonly length: number;
  /** Where in the text the code stands, 0 (first) to 1. */
  readonly depth: number;
  readonly code: string;
  /** What greedy decoding answers. */
  readonly answer: Both<string>;
}

export function found({ code, answer }: CodeAnswer, side: keyof Both<string>): boolean {
  return answer[side].includes(code);
}

/** Shares of the codes that were found. Intervals: over codes. */
export function retrievalFigures(answers: readonly CodeAnswer[]): Figure[] {
  const share = (name: string, some: readonly CodeAnswer[], side: keyof Both<string>) =>
    mean(
      name,
      some.map((answer) => Number(found(answer, side))),
    );
  const known = answers.filter((answer) => found(answer, 'original'));
  return [
    share('pass codes found, original', answers, 'original'),
    share('pass codes found, patched', answers, 'patched'),
    ...(known.length > 0 ? [share('found by patched, of those the original finds', known, 'patched')] : []),
  ];
}
