/** One passage as several models read it and go on with it, call by call in turns. */
import { nextToken, type TokenLoss, tokenLosses } from '../tasks/token-loss.js';
import { cacheBytes, type Decoder, type Stream } from './decoder.js';
import { callEnds, type DecoderPair } from './decoder-pair.js';

export interface Running {
  readonly generate: number;
  readonly advance: (tokens: number, what: string) => void;
}

/** What one model made of a passage. */
export interface PassageRun {
  readonly prompt: number;
  readonly losses: readonly TokenLoss[];
  readonly promptMs: number;
  readonly generated: readonly number[];
  readonly stepMs: readonly number[];
  readonly bytes: number;
}

/** All models on one passage, call by call in turns. */
export async function readPassage(
  pair: DecoderPair,
  decoders: readonly Decoder[],
  ids: readonly number[],
  { generate, advance }: Running,
): Promise<PassageRun[]> {
  const { length } = ids;
  const prompt = length - generate;
  const what = `${length} tokens`;
  let readers = decoders.map((decoder): Reader => ({ stream: decoder.begin(), next: 0, losses: [], ms: 0 }));
  const readUpTo = async (end: number) => {
    const from = readers[0].stream.tokens;
    readers = await inTurns(decoders, (decoder, i) =>
      readOn(decoder, readers[i], ids.slice(from, end + 1), end - from),
    );
    advance(end - from, what);
  };
  for (const end of callEnds(pair, 0, prompt)) await readUpTo(end);
  const begun = readers;
  let writers = begun.map(({ stream, next }): Writer => ({ stream, tokens: [next], ms: [] }));
  for (let i = 1; i < generate; i++) {
    writers = await inTurns(decoders, (decoder, i) => writeOn(decoder, writers[i]));
    advance(1, what);
  }
  for (const end of callEnds(pair, prompt, length)) await readUpTo(end);
  return decoders.map((_, i) => ({
    prompt,
    losses: readers[i].losses,
    promptMs: begun[i].ms,
    generated: writers[i].tokens,
    stepMs: writers[i].ms,
    bytes: cacheBytes(begun[i].stream),
  }));
}

/** One after another. */
async function inTurns<T>(decoders: readonly Decoder[], of: (decoder: Decoder, i: number) => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  for (const [i, decoder] of decoders.entries()) made.push(await of(decoder, i));
  return made;
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
