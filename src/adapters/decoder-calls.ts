/**
 * Calls of a decoder, checked before and after onnxruntime has them: what a generate() hands on wrongly is said in the words of
 * the one who called it, before a graph fails on it in some operator, or goes on with numbers that mean nothing. A call that is
 * refused leaves the session as it was.
 */
import { PerformersError } from '../errors.js';
import { toNumbers } from '../metrics.js';
import type { OrtTensor } from './ort.js';

/** What is known of a decoder before it is called. */
export interface DecoderFacts {
  /** Inputs that say the number of tokens in a state. None where the cache holds keys. */
  readonly carriers: readonly string[];
  /** Tokens that the graph has positions for, and that it was trained on; undefined where nothing says so. */
  readonly positions?: number;
  readonly trained?: number;
}

type Tensors = Readonly<Record<string, OrtTensor>>;

/** @throws PerformersError PF304, PF305, PF306 */
export function checkFeeds(feeds: Tensors, decoder: DecoderFacts): void {
  const ids = feeds.input_ids;
  if (!ids) return;
  checkCaches(feeds, ids, decoder);
  const { positions = Number.POSITIVE_INFINITY, trained = Number.POSITIVE_INFINITY } = decoder;
  const [, added = 1] = ids.dims;
  // A prompt beyond what a model was trained on is a mistake; one token more of an answer is the caller's to judge.
  const limit = Math.min(positions, added > 1 ? trained : positions);
  const tokens = tokensOf(feeds, added, limit);
  if (tokens <= limit) return;
  throw new PerformersError('PF304', `${tokens} tokens are more than the ${limit} positions of the model`, {
    at: `input_ids [${ids.dims.join(',')}]`,
    mend: `shorten the text to ${limit} tokens with what is to be generated, such as by leaving out its oldest part`,
  });
}

/** @throws PerformersError PF307 */
export function checkLogits(feeds: Tensors, { logits }: Tensors): void {
  if (!logits || (logits.location !== undefined && logits.location !== 'cpu')) return;
  const [rows = 1, tokens = 1, vocabulary = 1] = logits.dims;
  const values = toNumbers(logits);
  for (let row = 0; row < rows; row++) {
    const last = (row * tokens + tokens - 1) * vocabulary;
    // What stands at padding means nothing, and may be anything.
    if (endsInPadding(feeds.attention_mask, row)) continue;
    for (let i = last; i < last + vocabulary; i++) {
      if (!Number.isNaN(values[i])) continue;
      throw new PerformersError('PF307', 'the model gave logits that are not numbers', {
        at: `logits [${logits.dims.join(',')}], row ${row}`,
        mend: 'begin anew, not from the cache of this call; where the original answers the same prompt, its layers overflow here: use float32 weights',
      });
    }
  }
}

/** Of the decoder's own tokens. */
export const isPast = (name: string) => /^past/.test(name) && !name.includes('encoder');

function checkCaches(feeds: Tensors, ids: OrtTensor, { carriers }: DecoderFacts): void {
  const [rows] = ids.dims;
  for (const [name, { dims }] of Object.entries(feeds)) {
    if (!isPast(name) || dims.length !== 4) continue;
    const [held, , tokens, width] = dims;
    const isKey = /key$/.test(name);
    if (tokens > 0 && isKey && carriers.includes(name) !== (width === 0)) {
      const [here, ours] = carriers.includes(name) ? ['keys', 'a state'] : ['a state', 'keys'];
      throw new PerformersError(
        'PF305',
        `the cache holds ${here}, and this model keeps ${ours}: another model made it`,
        {
          at: `${name} [${dims.join(',')}]`,
          mend: 'pass on the past_key_values that this very model gave out',
        },
      );
    }
    // Decoders that keep keys may have several rows of tokens to one of the cache: codebooks of sound.
    if (carriers.length > 0 && tokens > 0 && held !== rows) {
      throw new PerformersError('PF306', `the cache is of ${held} rows, and there are ${rows} of new tokens`, {
        at: `${name} [${dims.join(',')}], input_ids [${ids.dims.join(',')}]`,
        mend: 'go on with the rows that the cache was made of, or begin anew without past_key_values',
      });
    }
  }
}

/** Tokens of the longest row, padding not counted where it matters. */
function tokensOf(feeds: Tensors, added: number, limit: number): number {
  const mask = feeds.attention_mask;
  const past = Object.entries(feeds).find(([name, { dims }]) => isPast(name) && dims.length === 4);
  const length = mask?.dims[1] ?? (past?.[1].dims[2] ?? 0) + added;
  if (length <= limit || !mask) return length;
  const values = toNumbers(mask);
  const counts = Array.from({ length: mask.dims[0] }, (_, row) => {
    let count = 0;
    for (let i = row * length; i < (row + 1) * length; i++) count += Number(values[i]);
    return count;
  });
  return Math.max(...counts);
}

function endsInPadding(mask: OrtTensor | undefined, row: number): boolean {
  if (!mask) return false;
  const [, length = 0] = mask.dims;
  return Number(mask.data[(row + 1) * length - 1]) === 0;
}
