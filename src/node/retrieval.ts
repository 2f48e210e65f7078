/** `verify --task retrieval`: pass codes in the midst of a text, asked for at its end. */
import { listData } from '../adapters/calibration-data.node.js';
import type { NodeRuntime } from '../adapters/runtime.node.js';
import { PerformersError } from '../errors.js';
import { uniforms } from '../features/rng.js';
import type { Figure } from '../tasks/figures.js';
import type { Both } from '../tasks/generation.js';
import { type CodeAnswer, retrievalFigures } from '../tasks/retrieval.js';
import { nextToken } from '../tasks/token-loss.js';
import type { Progress } from '../verify.js';
import { callEnds, checkLength, type DecoderPair, openPair, type Tokenizer } from './decoder-pair.js';
import { readBytes } from './model-folder.js';

export interface RetrievalOptions {
  readonly data: readonly string[];
  /** Tokens of texts. Default: 512, 1,024 and 2,048, as far as the model has positions. */
  readonly lengths?: readonly number[];
  /** Codes a length, each at another depth. Default 5. */
  readonly inputs?: number;
  readonly runtime?: NodeRuntime;
  readonly onProgress?: Progress;
}

export interface Retrieval {
  readonly what: string;
  readonly figures: readonly Figure[];
  readonly answers: readonly CodeAnswer[];
}

const defaultCodes = 5;
/** Tokens of an answer at most. */
const most = 24;

/**
 * Codes of five digits, seeded, at depths spread evenly over texts of so many tokens. A model with a chat template is asked as a
 * user would; another one is given the beginning of the answer.
 *
 * @throws PerformersError PF101–PF107, PF301, PF302, PF304 (a length beyond the model's positions), PF501 (no language model, too
 * little text, a tokenizer without digits)
 */
export async function measureRetrieval(
  original: string,
  patched: string,
  options: RetrievalOptions,
): Promise<Retrieval> {
  const { inputs = defaultCodes, runtime } = options;
  const pair = await openPair(original, patched, runtime);
  try {
    const lengths = options.lengths ?? defaultLengths(pair.positions);
    for (const length of lengths) checkLength(pair, length);
    const words = await tokensOf(pair.tokenizer, options.data);
    const total = 2 * lengths.length * inputs;
    let done = 0;
    const random = uniforms(1);
    const answers: CodeAnswer[] = [];
    for (const length of lengths) {
      for (let i = 0; i < inputs; i++) {
        const code = String(10_000 + Math.floor(90_000 * random()));
        const depth = (i + 0.5) / inputs;
        const from = Math.floor(random() * Math.max(1, words.length - length));
        const ids = textWith(pair.tokenizer, words.slice(from, from + length), { code, depth, length: length - most });
        const answer = { original: '', patched: '' };
        for (const side of ['original', 'patched'] as const) {
          answer[side] = await ask(pair, side, ids, code);
          options.onProgress?.({ done: ++done, total, what: `${length} tokens` });
        }
        answers.push({ length: ids.length, depth, code, answer });
      }
    }
    const what = `${answers.length} pass codes in texts of ${lengths.join(', ')} tokens`;
    return { what, figures: retrievalFigures(answers), answers };
  } finally {
    await pair.release();
  }
}

function defaultLengths(positions = Number.POSITIVE_INFINITY): number[] {
  const lengths = [512, 1024, 2048].filter((length) => length <= positions);
  return lengths.length > 0 ? lengths : [positions];
}

async function tokensOf(tokenizer: Tokenizer, data: readonly string[]): Promise<number[]> {
  const files = (await Promise.all(data.map(listData))).flat();
  const texts = await Promise.all(files.map(async (file) => new TextDecoder().decode(await readBytes(file))));
  return texts.flatMap((text): number[] => tokenizer.encode(text, { add_special_tokens: false }));
}

const said = (code: string) => `\n\nThe secret pass code is ${code}. Remember it.\n\n`;
const question = 'What is the secret pass code mentioned in the text?';

interface Asked {
  readonly code: string;
  readonly depth: number;
  /** Tokens at most. */
  readonly length: number;
}

/** @throws PerformersError PF501 */
function textWith(tokenizer: Tokenizer, words: readonly number[], { code, depth, length }: Asked): number[] {
  const ids = (count: number) => {
    const at = Math.round(depth * count);
    const [before, after] = [words.slice(0, at), words.slice(at, count)].map((part) =>
      part.length > 0 ? tokenizer.decode([...part], { skip_special_tokens: true }) : '',
    );
    return prompt(tokenizer, `${before}${said(code)}${after}`);
  };
  const room = length - ids(0).length;
  if (room < 1 || words.length < room)
    throw unfit(`texts of ${length} tokens`, room < 1 ? 'ask for longer texts' : 'give more text');
  if (!tokenizer.decode(ids(0), { skip_special_tokens: true }).includes(code))
    throw unfit('its tokenizer has no digits', 'there is no pass code that this model could read');
  // A text cut into tokens a second time, around the code, may come out a few tokens longer or shorter.
  let count = room;
  let made = ids(count);
  while (made.length > length) {
    count -= made.length - length;
    made = ids(count);
  }
  return made;
}

function prompt(tokenizer: Tokenizer, text: string): number[] {
  if (!tokenizer.chat_template) {
    return tokenizer.encode(`${text}\n\nQuestion: ${question} Answer: The secret pass code is`);
  }
  const messages = [{ role: 'user', content: `${text}\n\n${question}` }];
  const filled = tokenizer.apply_chat_template(messages, { tokenize: false, add_generation_prompt: true });
  return tokenizer.encode(String(filled), { add_special_tokens: false });
}

/** The greedy answer, ended where the code is in it or the model ends it. */
async function ask(
  pair: DecoderPair,
  side: keyof Both<unknown>,
  ids: readonly number[],
  code: string,
): Promise<string> {
  const decoder = pair[side];
  let [stream, from, next] = [decoder.begin(), 0, 0];
  for (const end of callEnds(pair, 0, ids.length)) {
    const read = await decoder.read(stream, ids.slice(from, end));
    [stream, from, next] = [read.stream, end, nextToken(read.logits)];
  }
  const answer: number[] = [];
  for (;;) {
    answer.push(next);
    const text = pair.tokenizer.decode(answer, { skip_special_tokens: true });
    if (answer.length === most || text.includes(code) || next === pair.tokenizer.eos_token_id) return text;
    const read = await decoder.read(stream, [next]);
    [stream, next] = [read.stream, nextToken(read.logits)];
  }
}

function unfit(what: string, mend: string): PerformersError {
  return new PerformersError('PF501', `pass codes cannot be asked for: ${what}`, { at: '--task retrieval', mend });
}
