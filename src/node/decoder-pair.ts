/** An original language model and its patched form, open side by side, with the tokenizer of their folder. */
import { fromFolder, rootOf, type Transformers, transformers } from '../adapters/local-transformers.node.js';
import { readConfig } from '../adapters/model-file.js';
import { type NodeRuntime, nodeSessions } from '../adapters/runtime.node.js';
import { PerformersError } from '../errors.js';
import { decode } from '../onnx/decode.js';
import { type Model, openModel } from '../onnx/graph.js';
import { positionLimit, trainedPositions } from '../rewrite/positions.js';
import { type Rewritten, readRewritten } from '../rewrite/rewritten.js';
import type { Both } from '../tasks/generation.js';
import { type Decoder, openDecoder } from './decoder.js';
import { readBytes } from './model-folder.js';

export type Tokenizer = Awaited<ReturnType<Transformers['AutoTokenizer']['from_pretrained']>>;

export interface DecoderPair extends Both<Decoder> {
  /** The original. */
  readonly file: DecoderFile;
  /** What the patched file says was rewritten. */
  readonly rewritten: Rewritten;
  readonly tokenizer: Tokenizer;
  /** Most tokens of a text; undefined where neither graph nor config.json names any. */
  readonly positions: number | undefined;
  /** Whether either graph takes several tokens on an empty cache only. */
  readonly single: boolean;
  release(): Promise<void>;
}

export interface DecoderFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly model: Model;
}

export interface OpenFile {
  readonly decoder: Decoder;
  release(): Promise<void>;
}

/** @param path where the weights outside of `bytes` lie @throws PerformersError PF301, PF501 (no language model) */
export async function openDecoderFile(
  { path, bytes, model }: DecoderFile,
  runtime: NodeRuntime = 'node',
): Promise<OpenFile> {
  // A mask of another length at every call: what onnxruntime keeps of each would be as much a part of the time as of the memory.
  const create = await nodeSessions(runtime, path, { enableMemPattern: false });
  const session = await create(bytes);
  try {
    return { decoder: openDecoder(model, session), release: () => session.release() };
  } catch (error) {
    await session.release();
    throw error;
  }
}

export function readDecoderFile(path: string, bytes: Uint8Array): DecoderFile {
  return { path, bytes, model: openModel(decode(bytes, path)) };
}

/** @throws PerformersError PF101–PF107, PF301, PF501 (no language model, no tokenizer) */
export async function openPair(original: string, patched: string, runtime: NodeRuntime = 'node'): Promise<DecoderPair> {
  const file = readDecoderFile(original, await readBytes(original));
  const limits = [positionLimit(file.model), trainedPositions(await readConfig(original))];
  const known = limits.filter((limit) => limit !== undefined);
  const { AutoTokenizer } = await transformers();
  const tokenizer = await fromFolder(rootOf(original), (name) =>
    AutoTokenizer.from_pretrained(name, { local_files_only: true }),
  );
  const first = await openDecoderFile(file, runtime);
  try {
    const other = readDecoderFile(patched, await readBytes(patched));
    const second = await openDecoderFile(other, runtime);
    const continued = (await takesMore(first.decoder)) && (await takesMore(second.decoder));
    return {
      file,
      rewritten: readRewritten(other.model.proto),
      tokenizer,
      single: !continued,
      positions: known.length > 0 ? Math.min(...known) : undefined,
      original: first.decoder,
      patched: second.decoder,
      release: async () => {
        await first.release();
        await second.release();
      },
    };
  } catch (error) {
    await first.release();
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
