/**
 * Text that says again what it said. Running text hardly shows which heads look up what was said far back, as a chat needs it
 * (docs/generation.md, "Looking things up"): nothing in it has to be looked up.
 */
import { PerformersError } from '../errors.js';
import { streamSeed, uniforms } from '../features/rng.js';

/** Runs to a passage, were they laid end to end. */
const runsToPassage = 32;
/** A run shorter than this may stand there by chance. */
const shortestRun = 8;
/** Runs between the end of what is repeated and its repeat, at least: further back than a window reaches. */
const runsBetween = 5;

/**
 * Passages of tokens whose last quarter is, in turns, a run from anywhere before (a 32nd of the passage) and as many tokens of its own.
 * The same passages and seed give the same.
 *
 * @throws PerformersError PF501 where a passage is shorter than 256 tokens
 */
export function repeatRuns(passages: readonly (readonly number[])[], seed = 0): number[][] {
  return passages.map((ids, i) => {
    const run = Math.floor(ids.length / runsToPassage);
    if (run < shortestRun) {
      throw new PerformersError(
        'PF501',
        `passages of ${ids.length} tokens are too short to repeat runs of themselves`,
        {
          at: '--recall',
          mend: `make them ${runsToPassage * shortestRun} tokens or more: --length 1024`,
        },
      );
    }
    const uniform = uniforms(streamSeed(seed, i));
    const out = [...ids];
    for (let at = Math.floor(0.75 * out.length); at + run <= out.length; at += 2 * run) {
      const from = Math.floor(uniform() * (at - (runsBetween + 1) * run));
      out.copyWithin(at, from, from + run);
    }
    return out;
  });
}
