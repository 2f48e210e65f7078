/** An original language model and its patched form, open side by side, with the tokenizer of their folder. */
import { fromFolder, rootOf, type Transformers, transformers } from '../adapters/local-transformers.node.js';
import { readConfig } from '../adapters/model-file.js';
import { type NodeRuntime, nodeSessions } from '../adapters/runtime.node.js';
import { PerformersError } from '../errors.js';
import { decode } from '../onnx/decode.js';
import { type Model, openModel } from '../onnx/graph.js';
import { positionLimit, trainedPositions } from '../rewrite/positions.js';
import type { Both } from '../tasks/generation.js';
import { type Decoder, openDecoder } from './decoder.js';
import { readBytes } from './model-folder.js';

export type Tokenizer = Awaited<ReturnType<Transformers['AutoTokenizer']['from_pretrained']>>;

export interface DecoderPair extends Both<Decoder> {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  /** Most tokens of a text; undefined where neither graph nor config.json names any. */
  readonly positions: number | undefined;
  /** Whether either graph takes several tokens on an empty cache only. */
  readonly single: boolean;
  release(): Promise<void>;
}

/** @throws PerformersError PF101–PF107, PF301, PF501 (no language model, no tokenizer) */
export async function openPair(original: string, patched: string, runtime: NodeRuntime = 'node'): Promise<DecoderPair> {
  const bytes = await readBytes(original);
  const model = openModel(decode(bytes, original));
  const limits = [positionLimit(model), trainedPositions(await readConfig(original))];
  const known = limits.filter((limit) => limit !== undefined);
  const { AutoTokenizer } = await transformers();
  const tokenizer = await fromFolder(rootOf(original), (name) =>
    AutoTokenizer.from_pretrained(name, { local_files_only: true }),
  );
  const open = async (path: string, bytes: Uint8Array, model: Model) => {
    // A mask of another length at every call: what onnxruntime keeps of each would be as much a part of the time as of the memory.
    const create = await nodeSessions(runtime, path, { enableMemPattern: false });
    const session = await create(bytes);
    return { session, decoder: openDecoder(model, session) };
  };
  const first = await open(original, bytes, model);
  try {
    const other = await readBytes(patched);
    const second = await open(patched, other, openModel(decode(other, patched)));
    const continued = (await takesMore(first.decoder)) && (await takesMore(second.decoder));
    return {
      model,
      tokenizer,
      single: !continued,
      positions: known.length > 0 ? Math.min(...known) : undefined,
      original: first.decoder,
      patched: second.decoder,
      release: async () => {
        await first.session.release();
        await second.session.release();
      },
    };
  } catch (error) {
    await first.session.release();
    throw error;
  }
}

/** @throws PerformersError PF304 */
export function checkLength({ positions }: DecoderPair, length: number): void {
  if (positions === undefined || length <= positions) return;
  throw new PerformersError('PF304', `${length} tokens are more than the ${positions} positions of the model`, {
    at: '--lengths',
    mend: `measure up to ${positions} tokens`,
  });
}

/** Two tokens, then two more: several graphs of exporters do not run that. */
async function takesMore(decoder: Decoder): Promise<boolean> {
  const { stream } = await decoder.read(decoder.begin(), [0, 0]);
  return decoder.read(stream, [0, 0]).then(
    () => true,
    () => false,
  );
}

/** Tokens read in one call: logits of a whole text at once may be gigabytes. */
const piece = 512;

/** Where the calls end that read from one place of a text to another. All at once where a model reads the whole text every time anyway. */
export function callEnds({ original, patched, single }: DecoderPair, from: number, to: number): number[] {
  const size = single ? (from === 0 ? to : 1) : original.cached && patched.cached ? piece : to - from;
  return Array.from({ length: Math.ceil((to - from) / size) }, (_, i) => Math.min(to, from + (i + 1) * size));
}

export function both<T>(of: (side: keyof Both<T>) => T): Both<T> {
  return { original: of('original'), patched: of('patched') };
}

/** The original first. */
export async function inTurns<T>(of: (side: keyof Both<T>) => Promise<T>): Promise<Both<T>> {
  const original = await of('original');
  return { original, patched: await of('patched') };
}
