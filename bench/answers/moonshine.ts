/**
 * moonshine-tiny with a linear encoder, on all the speech there is: calibrated on three sentences of one reader (what is
 * built in), measured on two more of that reader and one other voice, each as it is and joined to up to 60 seconds.
 */

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FLACDecoder } from '@wasm-audio-decoders/flac';
import wavefile from 'wavefile';
import { describeHealing } from '../../src/cli/output.js';
import { linearizeFiles } from '../../src/node/linearize-files.js';
import { transcribe } from '../../src/node/transcribe.js';
import { dataFile, modelFile } from '../../test/shared.js';
import type { AnswerRow, AnswerSuite } from './run.js';

const encoder = modelFile('moonshine-tiny/onnx/encoder_model.onnx');
const calibratedOn = /-08[789]0\.wav$/;
const kennedy =
  'And so my fellow Americans ask not what your country can do for you ask what you can do for your country';

const plans: readonly { readonly budget: number; readonly keep: number }[] = [
  { budget: 104, keep: 0 },
  { budget: 176, keep: 0 },
  { budget: 104, keep: 0.1 },
];

export const moonshine: AnswerSuite = {
  title:
    'moonshine-tiny with a linear encoder, words wrong; calibrated on pieces of 5 s of three of the six recordings',
  async run({ add }) {
    const folder = mkdtempSync(join(tmpdir(), 'performers-speech-'));
    try {
      const all = await speech(join(folder, 'all'));
      const unseen = all.filter((file) => !calibratedOn.test(file));
      const cases = [
        ['unseen recordings', unseen, undefined],
        ['all recordings', all, undefined],
        ['all, joined to 20 s', all, 20],
        ['all, joined to 60 s', all, 60],
      ] as const;
      const patches: { patched: string; name: string; heads: AnswerRow }[] = [];
      for (const { budget, keep } of plans) {
        const patched = join(folder, `${budget}-${keep}.onnx`);
        const { plan } = await linearizeFiles(encoder, patched, { calibration: { budget, keep, seconds: 5 } });
        const { cost = 0, exactHeads = 0, healing = [] } = plan?.content.calibration ?? {};
        const name = `${keep === 0 ? 'linear' : '10 % of heads exact'}, budget ${budget}`;
        patches.push({
          patched,
          name,
          heads: { KE: cost, 'exact heads': exactHeads, healing: healing.map(describeHealing).join(', ') },
        });
      }
      for (const [what, data, seconds] of cases) {
        for (const { patched, name, heads } of patches) {
          const { figures, transcripts } = await transcribe(encoder, patched, { data, seconds });
          const words = transcripts.reduce((sum, { reference = '' }) => sum + reference.trim().split(/\s+/).length, 0);
          const found = Object.fromEntries(figures.map((figure) => [figure.name, figure.value]));
          add({ what: `${what}: ${name}`, ...heads, words, ...found });
        }
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

/** All recordings as WAV with what is said in them, sorted by name. */
async function speech(folder: string): Promise<string[]> {
  mkdirSync(folder);
  const source = dataFile('speech');
  for (const name of readdirSync(source).filter((file) => /\.(wav|txt)$/.test(file)))
    copyFileSync(join(source, name), join(folder, name));
  const decoder = new FLACDecoder();
  await decoder.ready;
  const { channelData, sampleRate } = await decoder.decodeFile(readFileSync(join(source, 'jfk.flac')));
  decoder.free();
  const wav = new wavefile.WaveFile();
  const samples = channelData.map((channel) => Array.from(channel, (x) => Math.round(32767 * x)));
  wav.fromScratch(samples.length, sampleRate, '16', samples);
  writeFileSync(join(folder, 'jfk.wav'), wav.toBuffer());
  writeFileSync(join(folder, 'jfk.txt'), kennedy);
  const names = readdirSync(folder).filter((file) => file.endsWith('.wav'));
  return names.sort().map((name) => join(folder, name));
}
