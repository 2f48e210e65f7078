/** A language model read as a stream: a call's cache, or the state in its place, goes into the next one. */
import { PerformersError } from '../errors.js';
import { toNumbers } from '../metrics.js';
import type { Model } from '../onnx/graph.js';
import { inferShapes } from '../onnx/shapes.js';
import type { Feeds, Session, TensorLike } from '../session.js';
import { isCache, type SizedInput, sizeInputs } from './input-sizes.js';
import { elementTypeName, packTensor } from './inputs.js';

/** What a model has read. Reading on leaves it as it is, so that a stream may be gone on with in more ways than one. */
export interface Stream {
  readonly tokens: number;
  /** By the names of the inputs. Empty for a model without a cache. */
  readonly cache: Feeds;
  /** All that was read, where a model has no cache and reads it again. */
  readonly ids: readonly number[];
}

export interface Decoder {
  /** False for a model that reads the whole text at every call. */
  readonly cached: boolean;
  /** With nothing read; the cache is empty. */
  begin(): Stream;
  /**
   * Logits [1,N,vocabulary] of N tokens, and the stream with them.
   *
   * @throws PerformersError PF302 when the model fails (some graphs take several tokens on an empty cache only), PF501 where it has
   * no logits of some of the tokens
   */
  read(stream: Stream, ids: readonly number[]): Promise<Reading>;
}

export interface Reading {
  readonly logits: TensorLike;
  readonly stream: Stream;
}

/**
 * Feeds a session of `model`: one row, no padding.
 *
 * @throws PerformersError PF501 where it is no language model
 */
export function openDecoder(model: Model, session: Session): Decoder {
  const { inputs } = sizeInputs(model, inferShapes(model), { tokens: 1, batch: 1, past: 0 });
  const caches = inputs.filter((input) => holdsCache(input)).map((input) => withOutput(input, session.outputNames));
  const others = inputs.filter((input) => !holdsCache(input));
  const unknown = others.filter(({ name }) => !Object.hasOwn(known, name));
  if (unknown.length > 0) throw unfit(`it takes ${unknown.map(({ name }) => name).join(', ')}`, inputs);
  const held = caches.map(({ output }) => output);
  const [only, ...more] = session.outputNames.filter((name) => !held.includes(name));
  const scores = session.outputNames.includes('logits') || more.length > 0 ? 'logits' : only;
  if (!session.outputNames.includes(scores)) throw unfit('it gives no logits', inputs);
  const nothing = Object.fromEntries(caches.map(({ input }) => [input.name, empty(input)]));
  const cached = caches.length > 0;
  return {
    cached,
    begin: () => ({ tokens: 0, cache: nothing, ids: [] }),
    async read({ tokens, cache, ids: before }, ids) {
      const whole = cached ? ids : [...before, ...ids];
      const past = cached ? tokens : 0;
      const given = others.map((input) => [input.name, pack(input, known[input.name](whole, past))] as const);
      const outputs = await session.run({ ...Object.fromEntries(given), ...cache });
      const after = caches.map(({ input, output }) => [input.name, outputs[output]] as const);
      return {
        logits: lastRows(outputs[scores], ids.length),
        stream: { tokens: tokens + ids.length, cache: Object.fromEntries(after), ids: cached ? [] : whole },
      };
    },
  };
}

/** What goes from one call to the next. */
export function cacheBytes({ cache }: Stream): number {
  const bytes = ({ type, dims }: TensorLike) =>
    dims.reduce((product, dim) => product * dim, type === 'float16' ? 2 : 4);
  return Object.values(cache).reduce((sum, tensor) => sum + bytes(tensor), 0);
}

interface Values {
  readonly data: readonly number[];
  /** Where they are not those of a row [1,N]. */
  readonly dims?: readonly number[];
}

/** What language models take beside a cache, of new tokens behind `past` others. */
const known: Readonly<Record<string, (ids: readonly number[], past: number) => Values>> = {
  input_ids: (ids) => ({ data: ids }),
  attention_mask: (ids, past) => ({ data: new Array<number>(past + ids.length).fill(1) }),
  position_ids: (ids, past) => ({ data: ids.map((_, i) => past + i) }),
  use_cache_branch: (_, past) => ({ data: [Number(past > 0)], dims: [1] }),
  // 0: of all tokens.
  num_logits_to_keep: () => ({ data: [0], dims: [] }),
};

const holdsCache = ({ name, elemType }: SizedInput) =>
  isCache(name) && !Object.hasOwn(known, name) && (elemType === 1 || elemType === 10);

/** @throws PerformersError PF501 */
function withOutput(input: SizedInput, outputs: readonly string[]): { input: SizedInput; output: string } {
  const names = ['present', 'present_key_values'].map((present) => input.name.replace(/^past(_key_values)?/, present));
  const output = names.find((name) => outputs.includes(name));
  if (output === undefined) throw unfit(`no output goes on with ${input.name}`, [input]);
  return { input, output };
}

/** @throws PerformersError PF501 */
function empty(input: SizedInput): TensorLike {
  if (input.dims.every((dim) => dim > 0)) throw unfit(`${input.name} is of a fixed size, and never empty`, [input]);
  return pack(input, { data: [], dims: input.dims });
}

function pack({ name, elemType }: SizedInput, { data, dims = [1, data.length] }: Values): TensorLike {
  const tensor = packTensor(elementTypeName(elemType) ?? '', dims, data);
  if (!tensor) throw new TypeError(`${name} is of no type of numbers`);
  return tensor;
}

/** Of [1,L,vocabulary], the last N rows. @throws PerformersError PF501 where there are fewer */
function lastRows(logits: TensorLike, count: number): TensorLike {
  const [rows = 1, vocabulary = 1] = logits.dims.slice(-2);
  if (rows === count) return logits;
  if (rows < count) throw unfit('it gives logits of the last token only', []);
  const data = Float32Array.from(toNumbers(logits)).subarray((rows - count) * vocabulary);
  return { type: 'float32', dims: [1, count, vocabulary], data };
}

function unfit(what: string, inputs: readonly SizedInput[]): PerformersError {
  return new PerformersError('PF501', `this is no decoder that text alone is fed to: ${what}`, {
    at: inputs.length > 0 ? `inputs ${inputs.map(({ name }) => name).join(', ')}` : 'logits',
    mend: 'pass a language model with input_ids and logits, with past_key_values and present where it has a cache',
  });
}
