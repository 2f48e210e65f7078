/** WAV files of any rate and number of channels as one channel at the rate asked for. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import wavefile from 'wavefile';
import { cutSound, readSound } from '../../src/adapters/audio.node.js';
import { close, expectMutantFails } from '../close.js';

const folder = mkdtempSync(join(tmpdir(), 'performers-audio-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const hertz = 440;
const tone = (rate: number, seconds = 0.5) =>
  Float64Array.from({ length: rate * seconds }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * i) / rate));

function writeWav(name: string, rate: number, channels: readonly Float64Array[]): string {
  const wav = new wavefile.WaveFile();
  const samples = channels.map((channel) => Array.from(channel, (x) => Math.round(32767 * x)));
  wav.fromScratch(channels.length, rate, '16', channels.length === 1 ? samples[0] : samples);
  writeFileSync(join(folder, name), wav.toBuffer());
  return join(folder, name);
}

test('16 kHz, one channel: the samples themselves, to 16 bits', async () => {
  const path = writeWav('mono.wav', 16_000, [tone(16_000)]);
  close(await readSound(path, 16_000), tone(16_000), 1e-4);
  expectMutantFails(() =>
    close(
      tone(16_000).map((x) => 1.01 * x),
      tone(16_000),
      1e-4,
    ),
  );
});

test('44.1 kHz, two channels: their mean at 16 kHz', async () => {
  const path = writeWav('stereo.wav', 44_100, [tone(44_100).map((x) => 2 * x), tone(44_100).map(() => 0)]);
  const got = await readSound(path, 16_000);
  expect(got.length).toBe(8000);
  // Away from the ends, where the filter of a resampler has all that it needs.
  const inside = (sound: ArrayLike<number>) => Array.from(sound).slice(200, 7800);
  close(inside(got), inside(tone(16_000)), 2e-3);
  expectMutantFails(() => close(inside(tone(16_000).map((x) => 1.01 * x)), inside(tone(16_000)), 2e-3));
});

test('sounds behind one another in pieces; the rest is dropped', () => {
  const pieces = cutSound([Float32Array.of(1, 2, 3), Float32Array.of(4, 5), Float32Array.of(6, 7)], 3);
  expect(pieces.map((piece) => [...piece])).toEqual([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  expect(cutSound([Float32Array.of(1)], 2)).toEqual([]);
});

test('what is no WAV is refused', async () => {
  const path = join(folder, 'text.wav');
  writeFileSync(path, 'not a sound');
  await expect(readSound(path, 16_000)).rejects.toThrow(/PF501.*no WAV file that can be read[\s\S]*ffmpeg/);
  await expect(readSound(join(folder, 'nowhere.wav'), 16_000)).rejects.toThrow(/PF107/);
  await expect(readSound(writeWav('silent.wav', 16_000, [new Float64Array()]), 16_000)).rejects.toThrow(/no samples/);
});
