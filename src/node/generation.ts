/** `verify --task generation`: both models read the same passages and go on with them, in turns in one process. */
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
import { nextToken, type TokenLoss, tokenLosses } from '../tasks/token-loss.js';
import type { Progress } from '../verify.js';
import { cacheBytes, type Decoder, type Stream } from './decoder.js';
import { both, callEnds, checkLength, type DecoderPair, inTurns, openPair } from './decoder-pair.js';

export interface GenerationOptions extends Pick<DataOptions, 'inputs'> {
  readonly data: readonly string[];
  /** Tokens of passages. Default: 256, 512 and 1,024, as far as the model has positions. */
  readonly lengths?: readonly number[];
  /** Tokens to generate after each. Default 32. */
  readonly generate?: number;
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
    const shortest = Math.min(...lengths);
    const passages: number[][] = [];
    for (const length of lengths) {
      const count = Math.max(1, Math.ceil((inputs * shortest) / length));
      const found = await readCalibrationData(pair.model, original, data, { length, inputs: count });
      passages.push(...found.feeds.map((feeds) => Array.from(toNumbers(feeds.input_ids))));
    }
    const total = passages.reduce((sum, { length }) => sum + length + generate, 0);
    let done = 0;
    const advance = (tokens: number, what: string) => {
      done += tokens;
      options.onProgress?.({ done, total, what });
    };
    const runs: GenerationRun[] = [];
    for (const ids of passages) runs.push(await runPassage(pair, ids, { generate, advance }));
    const texts = runs.map((run, i): GeneratedText => {
      const text = (tokens: readonly number[]) => pair.tokenizer.decode([...tokens], { skip_special_tokens: true });
      return {
        prompt: run.prompt,
        after: text(passages[i].slice(0, run.prompt)).slice(-160),
        original: text(run.generated.original),
        patched: text(run.generated.patched),
        alike: agreement(run.generated),
      };
    });
    const what = `${runs.length} passages of ${lengths.join(', ')} tokens, ${generate} generated after each`;
    return { what, ...summariseGeneration(runs), texts };
  } finally {
    await pair.release();
  }
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

interface Running {
  readonly generate: number;
  readonly advance: (tokens: number, what: string) => void;
}

async function runPassage(
  pair: DecoderPair,
  ids: readonly number[],
  { generate, advance }: Running,
): Promise<GenerationRun> {
  const { length } = ids;
  const prompt = length - generate;
  const what = `${length} tokens`;
  let readers = await inTurns(
    async (side): Promise<Reader> => ({ stream: pair[side].begin(), next: 0, losses: [], ms: 0 }),
  );
  const readUpTo = async (end: number) => {
    const from = readers.original.stream.tokens;
    readers = await inTurns((side) => readOn(pair[side], readers[side], ids.slice(from, end + 1), end - from));
    advance(end - from, what);
  };
  for (const end of callEnds(pair, 0, prompt)) await readUpTo(end);
  const begun = readers;
  let writers = await inTurns(async (side): Promise<Writer> => {
    const { stream, next } = begun[side];
    return { stream, tokens: [next], ms: [] };
  });
  for (let i = 1; i < generate; i++) {
    writers = await inTurns((side) => writeOn(pair[side], writers[side]));
    advance(1, what);
  }
  for (const end of callEnds(pair, prompt, length)) await readUpTo(end);
  return {
    length,
    prompt,
    losses: both((side) => readers[side].losses),
    promptMs: both((side) => begun[side].ms),
    generated: both((side) => writers[side].tokens),
    stepMs: both((side) => writers[side].ms),
    bytes: both((side) => cacheBytes(begun[side].stream)),
  };
}

interface Reader {
  readonly stream: Stream;
  /** The token that is most likely to follow. */
  readonly next: number;
  readonly losses: readonly TokenLoss[];
  readonly ms: number;
}

/** @param ids the tokens to read and, where there is one, the token after them */
async function readOn(decoder: Decoder, before: Reader, ids: readonly number[], count: number): Promise<Reader> {
  const start = performance.now();
  const { logits, stream } = await decoder.read(before.stream, ids.slice(0, count));
  const ms = before.ms + performance.now() - start;
  return { stream, ms, next: nextToken(logits), losses: [...before.losses, ...tokenLosses(logits, ids.slice(1))] };
}

interface Writer {
  readonly stream: Stream;
  /** The last of them has not been read. */
  readonly tokens: readonly number[];
  readonly ms: readonly number[];
}

async function writeOn(decoder: Decoder, { stream, tokens, ms }: Writer): Promise<Writer> {
  const start = performance.now();
  const read = await decoder.read(stream, tokens.slice(-1));
  const took = performance.now() - start;
  return { stream: read.stream, tokens: [...tokens, nextToken(read.logits)], ms: [...ms, took] };
}
