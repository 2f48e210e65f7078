/** Speech through the whole pipeline of transformers.js: the original's, and one whose encoder is patched. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { readSound } from '../adapters/audio.node.js';
import { listData } from '../adapters/calibration-data.node.js';
import { fromFolder, rootOf, transformers } from '../adapters/local-transformers.node.js';
import { PerformersError } from '../errors.js';
import type { Figure } from '../tasks/figures.js';
import { measureTranscripts, type Transcript } from '../tasks.js';
import type { Progress } from '../verify.js';

export interface Transcription {
  readonly what: string;
  readonly figures: readonly Figure[];
  readonly transcripts: readonly (Transcript & { readonly file: string })[];
}

interface Recording {
  readonly file: string;
  readonly sound: Float32Array;
  readonly reference?: string;
}

/** What speech models of transformers.js hear. */
const samplesPerSecond = 16_000;

/**
 * Word error rates on WAV files, each with what is said in it in a `.txt` of its name, where that is known. With
 * `seconds`, each recording goes on with the following ones, whole, as long as that many seconds are not exceeded.
 *
 * @throws PerformersError PF107, PF301, PF501 (no WAV; the folder is no speech recogniser)
 */
export async function transcribe(
  original: string,
  patched: string,
  options: {
    readonly data: readonly string[];
    readonly seconds?: number;
    readonly inputs?: number;
    readonly onProgress?: Progress;
  },
): Promise<Transcription> {
  const files = (await Promise.all(options.data.map(listData))).flat().filter((file) => /\.wav$/i.test(file));
  if (files.length === 0) {
    throw new PerformersError('PF501', 'there is no .wav in the data', {
      at: options.data.join(', '),
      mend: 'transcription hears WAV files, each with its words in a .txt of the same name',
    });
  }
  const single = await Promise.all(files.map(readRecording));
  const { seconds, inputs = single.length } = options;
  const recordings = (seconds === undefined ? single : single.map((_, i) => goOn(single, i, seconds))).slice(0, inputs);
  const root = rootOf(original);
  const folder = await patchedFolder(root, original, patched);
  try {
    let done = 0;
    const hear = async (from: string, what: string) => {
      const texts: string[] = [];
      const recognise = await openPipeline(from);
      for (const { sound } of recordings) {
        texts.push(await recognise.text(sound));
        options.onProgress?.({ done: ++done, total: 2 * recordings.length, what });
      }
      await recognise.dispose();
      return texts;
    };
    const [want, got] = [await hear(root, 'original'), await hear(folder, 'patched')];
    const transcripts = recordings.map(({ file, reference }, i) => ({
      file,
      ...(reference !== undefined && { reference }),
      original: want[i],
      patched: got[i],
    }));
    const what = `${recordings.length} recordings${seconds === undefined ? '' : ` joined to at most ${seconds} s`}`;
    return { what, figures: measureTranscripts(transcripts), transcripts };
  } finally {
    await rm(dirname(folder), { recursive: true, force: true });
  }
}

async function readRecording(path: string): Promise<Recording> {
  const words = path.replace(/\.wav$/i, '.txt');
  return {
    file: basename(path),
    sound: await readSound(path, samplesPerSecond),
    ...(existsSync(words) && { reference: await readFile(words, 'utf8') }),
  };
}

/** Recording `first` and those after it, round and round, while they fit into so many seconds. */
function goOn(recordings: readonly Recording[], first: number, seconds: number): Recording {
  const parts = [recordings[first]];
  let length = parts[0].sound.length;
  for (let i = first + 1; ; i++) {
    const next = recordings[i % recordings.length];
    length += next.sound.length;
    if (length > seconds * samplesPerSecond || next.sound.length === 0) break;
    parts.push(next);
  }
  const sound = new Float32Array(parts.reduce((sum, part) => sum + part.sound.length, 0));
  let at = 0;
  for (const part of parts) {
    sound.set(part.sound, at);
    at += part.sound.length;
  }
  const known = parts.every(({ reference }) => reference !== undefined);
  return {
    file: parts.map(({ file }) => file).join(' + '),
    sound,
    ...(known && { reference: parts.map(({ reference }) => reference).join(' ') }),
  };
}

/** The original's folder once more, of links but for the one file that is patched. */
async function patchedFolder(root: string, original: string, patched: string): Promise<string> {
  const folder = join(await mkdtemp(join(tmpdir(), 'performers-')), basename(root));
  await mkdir(join(folder, 'onnx'), { recursive: true });
  for (const name of await readdir(root)) if (name !== 'onnx') await symlink(join(root, name), join(folder, name));
  for (const name of await readdir(join(root, 'onnx')))
    if (name !== basename(original)) await symlink(join(root, 'onnx', name), join(folder, 'onnx', name));
  await copyFile(resolve(patched), join(folder, 'onnx', basename(original)));
  return folder;
}

async function openPipeline(root: string) {
  const { pipeline } = await transformers();
  const recognise = await fromFolder(root, (name) =>
    pipeline('automatic-speech-recognition', name, { dtype: 'fp32', local_files_only: true }),
  );
  return {
    async text(sound: Float32Array): Promise<string> {
      const result = await recognise(sound);
      return (Array.isArray(result) ? result : [result]).map(({ text }) => text).join(' ');
    },
    dispose: () => recognise.dispose(),
  };
}
