import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PerformersError } from '../errors.js';
import { parseInputs } from '../node/input-file.js';
import { generateInputs } from '../node/inputs.js';
import { readBytes } from '../node/model-folder.js';
import type { Model } from '../onnx/graph.js';
import type { Feeds, TensorLike } from '../session.js';

export interface DataOptions {
  /** Tokens of a passage of text. Default: what the model takes at most, up to 512. */
  readonly length?: number;
  /** Height and width of an image in pixels. Default: what the model's processor makes. */
  readonly size?: number;
  /** Inputs at most, spread over the data. Default 64. */
  readonly inputs?: number;
}

export interface CalibrationData {
  readonly feeds: readonly Feeds[];
  readonly kind: 'text' | 'images' | 'inputs';
  /** For people: `48 passages of 512 tokens`. */
  readonly what: string;
  /** SHA-256 of every file read. */
  readonly sources: readonly { readonly file: string; readonly sha256: string }[];
}

const images = ['.png', '.jpg', '.jpeg', '.webp', '.gif', '.bmp'];
const texts = ['.txt', '.md', '.text'];

/**
 * Inputs for a model from files that people have: text (cut into passages), images, or JSON lines of model inputs, read
 * as transformers.js reads them with the tokenizer or processor in the model's folder.
 *
 * @throws PerformersError PF107 (unreadable), PF301 (transformers.js is needed and not there), PF501 (empty, of mixed or
 * unknown kinds, or not what the model takes)
 */
export async function readCalibrationData(
  model: Model,
  modelPath: string,
  paths: readonly string[],
  options: DataOptions = {},
): Promise<CalibrationData> {
  const files = (await Promise.all(paths.map(listData))).flat();
  const kinds = new Set(files.map(kindOf));
  const [kind] = kinds;
  if (!kind || kinds.size > 1) {
    const found = kind ? [...kinds].join(' and ') : 'nothing in it';
    throw unfit(`calibration data must be of one kind, got ${found}`, paths.join(', '));
  }
  const sources = [];
  for (const file of files)
    sources.push({
      file: basename(file),
      sha256: createHash('sha256')
        .update(await readBytes(file))
        .digest('hex'),
    });
  const most = options.inputs ?? 64;
  const read = { text: readText, images: readImages, inputs: readLines }[kind];
  const { feeds, what } = await read({ model, root: rootOf(modelPath), files, most, ...options });
  if (feeds.length === 0) throw unfit('the calibration data is empty, or shorter than one passage', paths.join(', '));
  return { feeds, kind, what, sources };
}

interface Reading extends DataOptions {
  readonly model: Model;
  readonly root: string;
  readonly files: readonly string[];
  readonly most: number;
}
interface Read {
  readonly feeds: Feeds[];
  readonly what: string;
}

async function readText({ model, root, files, most, length }: Reading): Promise<Read> {
  if (!takes(model, 'input_ids')) throw unfit('this model takes no text', inputNames(model));
  const { AutoTokenizer } = await transformers();
  const tokenizer = await fromFolder(root, (name) => AutoTokenizer.from_pretrained(name, { local_files_only: true }));
  const size = length ?? Math.min(512, tokenizer.model_max_length ?? 512);
  const [before, after] = specialTokens(tokenizer);
  const room = size - before.length - after.length;
  if (room < 1) throw unfit(`passages of ${size} tokens leave no room beside the model's own tokens`, '--length');
  const passages: number[][] = [];
  for (const file of files) {
    const text = new TextDecoder().decode(await readBytes(file));
    const ids: number[] = tokenizer.encode(text, { add_special_tokens: false });
    for (let at = 0; at + room <= ids.length; at += room)
      passages.push([...before, ...ids.slice(at, at + room), ...after]);
  }
  const feeds = spread(passages, most).map((ids) => tokenFeeds(model, ids));
  return { feeds, what: `${feeds.length} passages of ${size} tokens` };
}

/** Tokens that the tokenizer puts before and after a text. */
function specialTokens(tokenizer: Tokenizer): [number[], number[]] {
  const bare: number[] = tokenizer.encode('a', { add_special_tokens: false });
  const whole: number[] = tokenizer.encode('a');
  const at = whole.findIndex((_, i) => bare.every((id, j) => whole[i + j] === id));
  return at < 0 ? [[], []] : [whole.slice(0, at), whole.slice(at + bare.length)];
}

/** Ids with a mask of ones; whatever else the model takes is made up as for a measurement. */
function tokenFeeds(model: Model, ids: readonly number[]): Feeds {
  const { feeds } = generateInputs(model, { tokens: ids.length });
  const dims = [1, ids.length];
  const tensor = (value: (i: number) => number): TensorLike => ({
    type: 'int64',
    dims,
    data: BigInt64Array.from(ids, (_, i) => BigInt(value(i))),
  });
  const known: Record<string, TensorLike> = {
    input_ids: tensor((i) => ids[i]),
    attention_mask: tensor(() => 1),
    token_type_ids: tensor(() => 0),
    position_ids: tensor((i) => i),
  };
  return { ...feeds, ...Object.fromEntries(Object.entries(known).filter(([name]) => name in feeds)) };
}

async function readImages({ model, root, files, most, size }: Reading): Promise<Read> {
  if (!takes(model, 'pixel_values')) throw unfit('this model takes no images', inputNames(model));
  const { AutoProcessor, RawImage } = await transformers();
  const processor = await fromFolder(root, (name) => AutoProcessor.from_pretrained(name, { local_files_only: true }));
  const images = processor.image_processor ?? processor;
  if (size !== undefined) Object.assign(images, { size: { height: size, width: size } });
  const feeds: Feeds[] = [];
  for (const file of spread(files, most)) {
    const { pixel_values } = await images(await RawImage.read(file));
    feeds.push({
      pixel_values: { type: 'float32', dims: [...pixel_values.dims], data: Float32Array.from(pixel_values.data) },
    });
  }
  const [, , height = 0, width = 0] = feeds[0]?.pixel_values?.dims ?? [];
  return { feeds, what: `${feeds.length} images of ${width} × ${height} pixels` };
}

async function readLines({ files, most }: Reading): Promise<Read> {
  const all: Feeds[] = [];
  for (const file of files) {
    const lines = new TextDecoder().decode(await readBytes(file)).split('\n');
    for (const [i, line] of lines.entries())
      if (line.trim()) all.push(parseInputs(line, `${basename(file)}, line ${i + 1}`));
  }
  const feeds = spread(all, most);
  return { feeds, what: `${feeds.length} inputs` };
}

/** At most so many of them, from the first to the last. */
function spread<T>(all: readonly T[], most: number): T[] {
  if (all.length <= most) return [...all];
  return Array.from({ length: most }, (_, i) => all[Math.floor((i * all.length) / most)]);
}

async function listData(path: string): Promise<string[]> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new PerformersError('PF107', `there is no ${basename(path)}, or it can't be read`, {
      at: path,
      mend: 'pass a text file, images or a folder of them, or JSON lines of model inputs',
      cause,
    });
  });
  if (!info.isDirectory()) return [resolve(path)];
  const names = (await readdir(path)).sort();
  return names
    .map((name) => join(resolve(path), name))
    .filter((file) => kinds.some(({ endings }) => endings.includes(ending(file))));
}

const kinds: readonly { readonly kind: CalibrationData['kind']; readonly endings: readonly string[] }[] = [
  { kind: 'text', endings: texts },
  { kind: 'images', endings: images },
  { kind: 'inputs', endings: ['.jsonl'] },
];

function kindOf(file: string): CalibrationData['kind'] {
  const found = kinds.find(({ endings }) => endings.includes(ending(file)));
  if (found) return found.kind;
  throw unfit(
    `${basename(file)} is neither text (${texts.join(' ')}), an image (${images.join(' ')}) nor .jsonl`,
    file,
  );
}

const ending = (file: string) => extname(file).toLowerCase();

/** The folder with config.json: the model's own, or that above onnx/. */
function rootOf(modelPath: string): string {
  const folder = dirname(resolve(modelPath));
  return basename(folder) === 'onnx' ? dirname(folder) : folder;
}

const inputNames = (model: Model) => `inputs ${model.proto.graph?.input.map(({ name }) => name).join(', ')}`;
const takes = (model: Model, name: string) => model.proto.graph?.input.some((input) => input.name === name) ?? false;

function unfit(what: string, at: string): PerformersError {
  return new PerformersError('PF501', what, {
    at,
    mend: 'text for a model of text, images for one of images; anything else as JSON lines of its inputs',
  });
}

type Transformers = typeof import('@huggingface/transformers');
type Tokenizer = Awaited<ReturnType<Transformers['AutoTokenizer']['from_pretrained']>>;

async function transformers(): Promise<Transformers> {
  for (const from of [import.meta.url, pathToFileURL(join(process.cwd(), 'package.json')).href]) {
    try {
      return await import(pathToFileURL(createRequire(from).resolve('@huggingface/transformers')).href);
    } catch {
      // Not installed there.
    }
  }
  throw new PerformersError('PF301', 'reading text and images needs @huggingface/transformers, which was not found', {
    at: '--data',
    mend: 'npm install @huggingface/transformers, or give JSON lines of model inputs',
  });
}

/** transformers.js looks local models up by name below one folder. */
async function fromFolder<T>(root: string, load: (name: string) => Promise<T>): Promise<T> {
  const { env } = await transformers();
  const { localModelPath, allowRemoteModels, allowLocalModels } = env;
  Object.assign(env, { localModelPath: `${dirname(root)}/`, allowRemoteModels: false, allowLocalModels: true });
  try {
    return await load(basename(root));
  } catch (cause) {
    throw new PerformersError('PF501', `the folder of the model has no tokenizer or processor that can be read`, {
      at: root,
      mend: 'use a model folder as transformers.js has it, or give JSON lines of model inputs',
      cause,
    });
  } finally {
    Object.assign(env, { localModelPath, allowRemoteModels, allowLocalModels });
  }
}
