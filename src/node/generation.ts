/**
 * `verify --task generation`: both models read the same passages and go on with them, in turns in one process, and beside a patched
 * model with a state the original with a bounded cache of as many bytes.
 */
import { type DataOptions, readCalibrationData } from '../adapters/calibration-data.node.js';
import type { NodeRuntime } from '../adapters/runtime.node.js';
import { PerformersError } from '../errors.js';
import { toNumbers } from '../metrics.js';
import {
  agreement,
  type Both,
  type GenerationRun,
  type GenerationSummary,
  summariseGeneration,
} from '../tasks/generation.js';
import type { Progress } from '../verify.js';
import { boundedCache } from './bounded-cache.js';
import {
  checkLength,
  type DecoderPair,
  type OpenFile,
  openDecoderFile,
  openPair,
  readDecoderFile,
} from './decoder-pair.js';
import { type PassageRun, readPassage } from './passage.js';

export interface GenerationOptions extends Pick<DataOptions, 'inputs'> {
  readonly data: readonly string[];
  /** Tokens of passages. Default: 256, 512 and 1,024, as far as the model has positions. */
  readonly lengths?: readonly number[];
  /** Tokens to generate after each. Default 32. */
  readonly generate?: number;
  /** False leaves out the bounded cache beside a state. */
  readonly baseline?: boolean;
  readonly runtime?: NodeRuntime;
  readonly onProgress?: Progress;
}

/** How both models go on with one passage. */
export interface GeneratedText extends Both<string> {
  /** Tokens read before. */
  readonly prompt: number;
  /** The end of what was read. */
  readonly after: string;
  /** Tokens until the first that differs. */
  readonly alike: number;
}

export interface Generation extends GenerationSummary {
  readonly what: string;
  readonly texts: readonly GeneratedText[];
  /** Of a patched model with a state that approximates. */
  readonly baseline?: Baseline;
}

/** The original with the plan window-causal, `patched` in its figures. */
export interface Baseline extends Pick<GenerationSummary, 'lengths' | 'positions'> {
  /** Keys that every query sees, in as many bytes as the state at the end of the text, by its length. */
  readonly windows: readonly { readonly length: number; readonly window: number }[];
}

const defaultInputs = 8;
const defaultTokens = 32;

/**
 * The same number of tokens is read at every length: `inputs` passages (default 8) of the shortest, at least one of the longest.
 * All but the last `generate` tokens of a passage are the prompt of what is generated, so that nothing goes beyond its length.
 *
 * @throws PerformersError PF101–PF107, PF301, PF302, PF304 (a length beyond the model's positions), PF501 (no language model, too
 * little text)
 */
export async function measureGeneration(
  original: string,
  patched: string,
  options: GenerationOptions,
): Promise<Generation> {
  const { data, generate = defaultTokens, inputs = defaultInputs, runtime } = options;
  const pair = await openPair(original, patched, runtime);
  try {
    const lengths = options.lengths ?? defaultLengths(pair.positions);
    for (const length of lengths) check(pair, length, generate);
    const bounded = options.baseline === false ? undefined : boundedCache(pair.file, pair.rewritten);
    const shortest = Math.min(...lengths);
    const passages = new Map<number, number[][]>();
    for (const length of lengths) {
      const count = Math.max(1, Math.ceil((inputs * shortest) / length));
      const { feeds } = await readCalibrationData(pair.file.model, original, data, { length, inputs: count });
      passages.set(
        length,
        feeds.map(({ input_ids }) => Array.from(toNumbers(input_ids))),
      );
    }
    const total = [...passages].reduce((sum, [length, own]) => sum + own.length * (length + generate), 0);
    let done = 0;
    const advance = (tokens: number, what: string) => {
      done += tokens;
      options.onProgress?.({ done, total, what });
    };
    const runs: GenerationRun[] = [];
    const texts: GeneratedText[] = [];
    const dropping: GenerationRun[] = [];
    const windows: { length: number; window: number }[] = [];
    for (const [length, own] of passages) {
      const window = bounded?.windowAfter(length);
      const third = bounded && window ? await openBounded(pair, await bounded.make(window), runtime) : undefined;
      if (window) windows.push({ length, window });
      try {
        const decoders = [pair.original, pair.patched, ...(third ? [third.decoder] : [])];
        for (const ids of own) {
          const [first, second, baseline] = await readPassage(pair, decoders, ids, { generate, advance });
          const run = beside(ids.length, first, second);
          runs.push(run);
          texts.push(textOf(pair, ids, run));
          if (baseline) dropping.push(beside(ids.length, first, baseline));
        }
      } finally {
        await third?.release();
      }
    }
    const what = `${runs.length} passages of ${lengths.join(', ')} tokens, ${generate} generated after each`;
    if (dropping.length === 0) return { what, ...summariseGeneration(runs), texts };
    const { figures, ...baseline } = summariseGeneration(dropping);
    return { what, ...summariseGeneration(runs), texts, baseline: { windows, ...baseline } };
  } finally {
    await pair.release();
  }
}

function openBounded({ file }: DecoderPair, bytes: Uint8Array, runtime?: NodeRuntime): Promise<OpenFile> {
  return openDecoderFile(readDecoderFile(file.path, bytes), runtime);
}

function beside(length: number, original: PassageRun, patched: PassageRun): GenerationRun {
  const both = <K extends keyof PassageRun>(of: K) => ({ original: original[of], patched: patched[of] });
  return {
    length,
    prompt: original.prompt,
    losses: both('losses'),
    promptMs: both('promptMs'),
    generated: both('generated'),
    stepMs: both('stepMs'),
    bytes: both('bytes'),
  };
}

function textOf(
  { tokenizer }: DecoderPair,
  ids: readonly number[],
  { prompt, generated }: GenerationRun,
): GeneratedText {
  const text = (tokens: readonly number[]) => tokenizer.decode([...tokens], { skip_special_tokens: true });
  return {
    prompt,
    after: text(ids.slice(0, prompt)).slice(-160),
    original: text(generated.original),
    patched: text(generated.patched),
    alike: agreement(generated),
  };
}

/** @throws PerformersError PF304, PF501 */
function check(pair: DecoderPair, length: number, generate: number): void {
  checkLength(pair, length);
  if (length > generate + 1) return;
  throw new PerformersError(
    'PF501',
    `a passage of ${length} tokens leaves no prompt before ${generate} generated ones`,
    {
      at: '--lengths',
      mend: 'ask for longer passages, or generate fewer tokens',
    },
  );
}

function defaultLengths(positions = Number.POSITIVE_INFINITY): number[] {
  return [1024, 512, 256, 128, 64]
    .filter((length) => length <= positions)
    .slice(0, 3)
    .reverse();
}
