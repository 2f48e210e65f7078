/** The speech in ../shared as WAV: as it is, sentences joined in many orders, and louder or less loud. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FLACDecoder } from '@wasm-audio-decoders/flac';
import wavefile from 'wavefile';
import { dataFile } from '../../test/shared.js';

const kennedy =
  'And so my fellow Americans ask not what your country can do for you ask what you can do for your country';

/** Orders of the three sentences, one after another in each joined piece and from piece to piece. */
const orders = [
  [0, 1, 2],
  [1, 2, 0],
  [2, 0, 1],
  [0, 2, 1],
  [2, 1, 0],
  [1, 0, 2],
];

/** All recordings as WAV with what is said in them, sorted by name. */
export async function speech(folder: string): Promise<string[]> {
  mkdirSync(folder);
  const source = dataFile('speech');
  for (const name of readdirSync(source).filter((file) => /\.(wav|txt)$/.test(file)))
    copyFileSync(join(source, name), join(folder, name));
  const decoder = new FLACDecoder();
  await decoder.ready;
  const { channelData, sampleRate } = await decoder.decodeFile(readFileSync(join(source, 'jfk.flac')));
  decoder.free();
  writeWav(join(folder, 'jfk.wav'), {
    rate: sampleRate,
    channels: channelData.map((channel) => Array.from(channel, (x) => Math.round(32767 * x))),
  });
  writeFileSync(join(folder, 'jfk.txt'), kennedy);
  const names = readdirSync(folder).filter((file) => file.endsWith('.wav'));
  return names.sort().map((name) => join(folder, name));
}

export interface Sound {
  readonly rate: number;
  /** Of 16 bits. */
  readonly channels: readonly (readonly number[])[];
}

export function heard(file: string): Sound {
  const wav = new wavefile.WaveFile(readFileSync(file));
  const { sampleRate, numChannels } = wav.fmt as { sampleRate: number; numChannels: number };
  const samples: unknown = wav.getSamples(false, Int16Array);
  const channels = numChannels === 1 ? [samples as Int16Array] : (samples as Int16Array[]);
  return { rate: sampleRate, channels: channels.map((channel) => Array.from(channel)) };
}

function writeWav(file: string, { rate, channels }: Sound): string {
  const wav = new wavefile.WaveFile();
  wav.fromScratch(channels.length, rate, '16', channels as number[][]);
  writeFileSync(file, wav.toBuffer());
  return file;
}

/** Files of so many seconds, each of the sentences in other orders. */
export function joined(folder: string, sentences: readonly Sound[], seconds: number): string[] {
  const [{ rate }] = sentences;
  return orders.map((_, first) => {
    const inTurn = [...orders.slice(first), ...orders.slice(0, first)].flat().map((at) => sentences[at].channels[0]);
    return writeWav(join(folder, `${seconds}-${first}.wav`), {
      rate,
      channels: [inTurn.flat().slice(0, seconds * rate)],
    });
  });
}

/** The recording in a folder of its own, with what is said in it. */
export function scaled(folder: string, file: string, gain: number): string {
  mkdirSync(folder, { recursive: true });
  const { rate, channels } = heard(file);
  copyFileSync(file.replace(/wav$/, 'txt'), join(folder, basename(file).replace(/wav$/, 'txt')));
  return writeWav(join(folder, basename(file)), {
    rate,
    channels: channels.map((channel) => channel.map((x) => Math.round(gain * x))),
  });
}
