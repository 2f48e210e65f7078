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
    // As a resampler of speech would: no images of what lies above the new rate.
    wav.toSampleRate(samplesPerSecond, { method: 'sinc' });
    const samples = wav.getSamples(false, Float32Array);
    const channels: readonly Float32Array[] = Array.isArray(samples) ? samples : [Float32Array.from(samples)];
    const [first = new Float32Array()] = channels;
    if (first.length === 0) throw new RangeError('it has no samples');
    return first.map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
  } catch (cause) {
    throw new PerformersError('PF501', `${basename(path)} is no WAV file that can be read: ${messageOf(cause)}`, {
      at: path,
      mend: 'convert it: ffmpeg -i INPUT -ar 16000 -ac 1 OUTPUT.wav',
      cause,
    });
  }
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
