import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { repeatRuns } from '../calibrate/recall.js';
import { spread } from '../calibrate/survey.js';
import { PerformersError } from '../errors.js';
import { parseInputs } from '../node/input-file.js';
import { generateInputs } from '../node/inputs.js';
import { readBytes } from '../node/model-folder.js';
import type { Model } from '../onnx/graph.js';
import { findAttention } from '../rewrite/find.js';
import type { Feeds, TensorLike } from '../session.js';
import { cutSound, readSound } from './audio.node.js';
import { fromFolder, rootOf, type Transformers, transformers } from './local-transformers.node.js';

export interface DataOptions {
  /** Tokens of a passage of text. Default: what the model takes at most, up to 512. */
  readonly length?: number;
  /**
   * Height and width of an image in pixels, or several: every photo at each of them, for plans that are to hold at any of these sizes.
   * Default: what the model's processor makes.
   */
  readonly size?: number | readonly number[];
  /** Sounds are joined and cut into pieces of so many seconds. Default: every file as it is. */
  readonly seconds?: number;
  /** Inputs at most, spread over the data. Default 64. */
  readonly inputs?: number;
  /** Passages of text repeat runs of themselves in their last quarter (calibrate/recall.ts). Default: text as it is. */
  readonly recall?: boolean;
  /** What is repeated. Default 0. */
  readonly seed?: number;
  /**
   * Passages of text begin at places spread over so many positions, for models that are to be used on longer texts than a passage: rotary
   * embeddings turn queries and keys on and on, and codes and mean queries hold for what they have seen. Default: all at the first.
   */
  readonly positions?: number;
}

export interface CalibrationData {
  readonly feeds: readonly Feeds[];
  readonly kind: 'text' | 'images' | 'audio' | 'inputs';
  /** For people: `48 passages of 512 tokens`. */
  readonly what: string;
  /** SHA-256 of every file read. */
  readonly sources: readonly Source[];
}

export interface Source {
  readonly file: string;
  readonly sha256: string;
}

const images = ['.png', '.jpg', '.jpeg', '.webp', '.gif', '.bmp'];
const texts = ['.txt', '.md', '.text'];
const sounds = ['.wav'];

/** The inputs of a model that data of a kind becomes, any of them. */
const inputsOf = {
  text: ['input_ids'],
  images: ['pixel_values'],
  audio: ['input_values', 'input_features', 'audio_values'],
} as const;

/**
 * Inputs for a model from files that people have: text (cut into passages), images, sound, or JSON lines of model inputs,
 * read as transformers.js reads them with the tokenizer or processor in the model's folder.
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
  const listed = await Promise.all(paths.map(listData));
  const files = listed.flatMap((some) => ofOneKind(model, some));
  const kinds = new Set(files.map(kindOf));
  const [kind] = kinds;
  if (!kind || kinds.size > 1) {
    const found = kind ? [...kinds].join(' and ') : 'nothing in it';
    throw unfit(`calibration data must be of one kind, got ${found}`, paths.join(', '));
  }
  if (options.recall && kind !== 'text') throw unfit(`only text can repeat itself, got ${kind}`, '--recall');
  if (options.positions !== undefined) checkPositions(model, kind);
  const sources = await hashFiles(files);
  const most = options.inputs ?? 64;
  const read = { text: readText, images: readImages, audio: readAudio, inputs: readLines }[kind];
  const { feeds, what } = await read({ model, root: rootOf(modelPath), files, most, ...options });
  if (feeds.length === 0) throw unfit('the calibration data is empty, or shorter than one passage', paths.join(', '));
  const aside = listed.flat().length - files.length;
  return { feeds, kind, what: aside > 0 ? `${what} (files of other kinds beside them: ${aside})` : what, sources };
}

/** SHA-256 of files, by which data is known again. @throws PerformersError PF107 */
export async function hashFiles(files: readonly string[]): Promise<Source[]> {
  const sources: Source[] = [];
  for (const file of files) {
    const sha256 = createHash('sha256')
      .update(await readBytes(file))
      .digest('hex');
    sources.push({ file: basename(file), sha256 });
  }
  return sources;
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

async function readText({ model, root, files, most, length, recall, seed, positions = 0 }: Reading): Promise<Read> {
  if (inputsTaken(model, 'text').length === 0) throw unfit('this model takes no text', inputNames(model));
  if (takes(model, 'encoder_hidden_states')) {
    throw unfit(
      'this decoder reads the states of an encoder beside text: pass JSON lines of its inputs',
      inputNames(model),
    );
  }
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
    for (let at = 0; at + room <= ids.length; at += room) passages.push(ids.slice(at, at + room));
  }
  const chosen = spread(passages, most);
  const last = Math.max(0, positions - size);
  const feeds = (recall ? repeatRuns(chosen, seed) : chosen).map((ids, i) =>
    tokenFeeds(model, [...before, ...ids, ...after], Math.round((last * i) / Math.max(1, chosen.length - 1))),
  );
  const what = `${feeds.length} passages of ${size} tokens`;
  const placed = positions > size ? `${what}, spread over ${positions} positions,` : what;
  return { feeds, what: recall ? `${placed} that repeat runs of themselves` : placed };
}

function checkPositions(model: Model, kind: CalibrationData['kind']): void {
  const { sites } = findAttention(model);
  if (kind === 'text' && takes(model, 'position_ids') && sites.some(({ positional }) => positional === 'rope')) return;
  throw unfit(
    'passages can begin elsewhere where a model of text has rotary embeddings and takes position_ids',
    '--positions',
  );
}

/** Tokens that the tokenizer puts before and after a text. */
function specialTokens(tokenizer: Tokenizer): [number[], number[]] {
  const bare: number[] = tokenizer.encode('a', { add_special_tokens: false });
  const whole: number[] = tokenizer.encode('a');
  const at = whole.findIndex((_, i) => bare.every((id, j) => whole[i + j] === id));
  return at < 0 ? [[], []] : [whole.slice(0, at), whole.slice(at + bare.length)];
}

/** Ids with a mask of ones; whatever else the model takes is made up as for a measurement. */
function tokenFeeds(model: Model, ids: readonly number[], first: number): Feeds {
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
    position_ids: tensor((i) => first + i),
  };
  return { ...feeds, ...Object.fromEntries(Object.entries(known).filter(([name]) => name in feeds)) };
}

async function readImages({ model, root, files, most, size }: Reading): Promise<Read> {
  if (inputsTaken(model, 'images').length === 0) throw unfit('this model takes no images', inputNames(model));
  const { AutoProcessor, RawImage } = await transformers();
  const processor = await fromFolder(root, (name) => AutoProcessor.from_pretrained(name, { local_files_only: true }));
  const images = processor.image_processor ?? processor;
  const feeds: Feeds[] = [];
  const dimensions = new Set<string>();
  for (const { file, side } of atSizes(spread(files, most), [size ?? []].flat())) {
    if (side !== undefined) Object.assign(images, { size: { height: side, width: side } });
    const { pixel_values } = await images(await RawImage.read(file));
    const [, , height, width] = pixel_values.dims;
    dimensions.add(`${width} × ${height}`);
    feeds.push({
      pixel_values: { type: 'float32', dims: [...pixel_values.dims], data: Float32Array.from(pixel_values.data) },
    });
  }
  const all = dimensions.size > 3 ? `${dimensions.size} sizes` : `${[...dimensions].join(', ')} pixels`;
  return { feeds, what: `${feeds.length} images of ${all}` };
}

/**
 * Photos at each of these sizes; undefined is the processor's own. Every third input is held out from calibration, and a photo that is must
 * be at every size: so all photos follow one another at a size, as many as three divides, and what is left over comes last, at the first.
 */
function atSizes(files: readonly string[], [first, ...others]: readonly number[]): { file: string; side?: number }[] {
  const whole = others.length > 0 ? files.length - (files.length % 3) : 0;
  const at = (some: readonly string[], side?: number) => some.map((file) => ({ file, side }));
  const everywhere = [first, ...others].flatMap((side) => at(files.slice(0, whole), side));
  return [...everywhere, ...at(files.slice(whole), first)];
}

async function readAudio({ model, root, files, most, seconds }: Reading): Promise<Read> {
  const names = inputsTaken(model, 'audio');
  if (names.length === 0) throw unfit('this model takes no sound', inputNames(model));
  const { AutoProcessor } = await transformers();
  const processor = await fromFolder(root, (name) => AutoProcessor.from_pretrained(name, { local_files_only: true }));
  const extract = processor.feature_extractor ?? processor;
  const rate = Number(extract.config?.sampling_rate ?? 16_000);
  const whole = [];
  for (const file of files) whole.push(await readSound(file, rate));
  const pieces = seconds === undefined ? whole : cutSound(whole, Math.round(seconds * rate));
  const feeds: Feeds[] = [];
  for (const piece of spread(pieces, most)) {
    const features: Readonly<Record<string, { dims: number[]; data: Iterable<number> }>> = await extract(piece);
    const known = Object.entries(features).filter(([name]) => names.includes(name));
    const tensor = ({ dims, data }: { dims: number[]; data: Iterable<number> }): TensorLike => ({
      type: 'float32',
      dims: [...dims],
      data: Float32Array.from(data),
    });
    feeds.push(Object.fromEntries(known.map(([name, value]) => [name, tensor(value)])));
  }
  return { feeds, what: `${feeds.length} sounds${seconds === undefined ? '' : ` of ${seconds} s`} at ${rate} Hz` };
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

/** The files that a path names, of a folder those whose endings are known. @throws PerformersError PF107 */
export async function listData(path: string): Promise<string[]> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new PerformersError('PF107', `there is no ${basename(path)}, or it can't be read`, {
      at: path,
      mend: 'pass text, images, sound or a folder of them, or JSON lines of model inputs',
      cause,
    });
  });
  if (!info.isDirectory()) return [resolve(path)];
  const names = (await readdir(path)).sort();
  return names
    .map((name) => join(resolve(path), name))
    .filter((file) => kinds.some(({ endings }) => endings.includes(ending(file))));
}

/** Of a folder of several kinds, as recordings beside their transcripts, what the model takes, if that is of one kind. */
function ofOneKind(model: Model, files: readonly string[]): readonly string[] {
  const found = [...new Set(files.map(kindOf))];
  const taken = found.filter((kind) => kind === 'inputs' || inputsTaken(model, kind).length > 0);
  return found.length > 1 && taken.length === 1 ? files.filter((file) => kindOf(file) === taken[0]) : files;
}

const kinds: readonly { readonly kind: CalibrationData['kind']; readonly endings: readonly string[] }[] = [
  { kind: 'text', endings: texts },
  { kind: 'images', endings: images },
  { kind: 'audio', endings: sounds },
  { kind: 'inputs', endings: ['.jsonl'] },
];

function kindOf(file: string): CalibrationData['kind'] {
  const found = kinds.find(({ endings }) => endings.includes(ending(file)));
  if (found) return found.kind;
  throw unfit(
    `${basename(file)} is neither text (${texts.join(' ')}), an image (${images.join(' ')}), sound (${sounds.join(' ')}) nor .jsonl`,
    file,
  );
}

const ending = (file: string) => extname(file).toLowerCase();

const inputNames = (model: Model) => `inputs ${model.proto.graph?.input.map(({ name }) => name).join(', ')}`;
const takes = (model: Model, name: string) => model.proto.graph?.input.some((input) => input.name === name) ?? false;

/** Those of its inputs that data of a kind becomes. */
function inputsTaken(model: Model, kind: keyof typeof inputsOf): readonly string[] {
  return inputsOf[kind].filter((name) => takes(model, name));
}

function unfit(what: string, at: string): PerformersError {
  return new PerformersError('PF501', what, {
    at,
    mend: 'text for a model of text, images for one of images, WAV for one of sound; anything else as JSON lines of its inputs',
  });
}

type Tokenizer = Awaited<ReturnType<Transformers['AutoTokenizer']['from_pretrained']>>;
