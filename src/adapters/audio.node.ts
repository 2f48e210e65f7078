/** Sound of WAV files as a model hears it: one channel, at the model's rate. */
import { basename } from 'node:path';
import wavefile from 'wavefile';
import { PerformersError } from '../errors.js';
import { readBytes } from '../node/model-folder.js';

/** Samples from −1 to 1, channels averaged. @throws PerformersError PF107 (unreadable), PF501 (no WAV, or empty) */
export async function readSound(path: string, samplesPerSecond: number): Promise<Float32Array> {
  const bytes = await readBytes(path);
  const wav = new wavefile.WaveFile();
  try {
    wav.fromBuffer(bytes);
    wav.toBitDepth('32f');
    const samples = wav.getSamples(false, Float32Array);
    const channels: readonly Float32Array[] = Array.isArray(samples) ? samples : [Float32Array.from(samples)];
    const [first = new Float32Array()] = channels;
    if (first.length === 0) throw new RangeError('it has no samples');
    const mono = first.map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
    return resample(mono, sampleRateOf(wav.fmt), samplesPerSecond);
  } catch (cause) {
    throw new PerformersError('PF501', `${basename(path)} is no WAV file that can be read: ${messageOf(cause)}`, {
      at: path,
      mend: 'convert it: ffmpeg -i INPUT -ar 16000 -ac 1 OUTPUT.wav',
      cause,
    });
  }
}

/** Zero crossings of the sinc on each side; 16 leave a tone below the cut as it is to 1e-3. */
const lobes = 16;

/**
 * Band-limited interpolation (Smith & Gossett 1984): each new sample is the sum of the old ones under a sinc at the lower of
 * both rates, with a Hann window over `lobes` of its crossings.
 */
function resample(sound: Float32Array, from: number, to: number): Float32Array {
  if (from === to) return sound;
  const cut = Math.min(1, to / from);
  const reach = lobes / cut;
  return Float32Array.from({ length: Math.floor((sound.length * to) / from) }, (_, n) => {
    const t = (n * from) / to;
    let sum = 0;
    for (let i = Math.max(0, Math.ceil(t - reach)); i <= Math.min(sound.length - 1, t + reach); i++) {
      const x = (t - i) * cut * Math.PI;
      const sinc = x === 0 ? 1 : Math.sin(x) / x;
      sum += sound[i] * cut * sinc * (0.5 + 0.5 * Math.cos(x / lobes));
    }
    return sum;
  });
}

function sampleRateOf(format: object): number {
  if ('sampleRate' in format && Number(format.sampleRate) > 0) return Number(format.sampleRate);
  throw new RangeError('it does not say its rate');
}

/** All sounds behind one another, cut into pieces of so many samples; what is left over at the end is dropped. */
export function cutSound(sounds: readonly Float32Array[], length: number): Float32Array[] {
  const all = new Float32Array(sounds.reduce((sum, sound) => sum + sound.length, 0));
  let at = 0;
  for (const sound of sounds) {
    all.set(sound, at);
    at += sound.length;
  }
  return Array.from({ length: Math.floor(all.length / length) }, (_, i) => all.slice(i * length, (i + 1) * length));
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
