/**
 * moonshine-tiny with a linear encoder, on all the speech there is: calibrated on three sentences of one reader (what is
 * built in) in pieces of 5 seconds, or joined again and again to 15 and to 60, measured on two more of that reader and one other
 * voice, each as it is and joined to up to 60 seconds. The model is not made for 60 seconds: what its original makes of them turns
 * with how loud they are, which is measured, too.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeHealing } from '../../src/cli/output.js';
import { linearizeFiles } from '../../src/node/linearize-files.js';
import { transcribe } from '../../src/node/transcribe.js';
import { modelFile } from '../../test/shared.js';
import type { AnswerRow, AnswerSuite } from './run.js';
import { heard, joined, scaled, speech } from './speech.js';

const encoder = modelFile('moonshine-tiny/onnx/encoder_model.onnx');
const calibratedOn = /-08[789]0\.wav$/;
const plans: readonly {
  readonly budget: number;
  readonly keep: number;
  readonly seconds: number;
  readonly blocks?: true;
}[] = [
  { budget: 104, keep: 0, seconds: 5 },
  { budget: 176, keep: 0, seconds: 5 },
  { budget: 104, keep: 0.1, seconds: 5 },
  { budget: 176, keep: 0, seconds: 15 },
  { budget: 288, keep: 0, seconds: 60, blocks: true },
];
/** Pieces of so many are what there is without joining. */
const builtIn = 5;
/** As loud as this, of the original alone. */
const loudness = [0.9, 0.7, 0.5];

export const moonshine: AnswerSuite = {
  title: 'moonshine-tiny with a linear encoder, words wrong; calibrated on pieces of three of the six recordings',
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
      const sentences = all.filter((file) => calibratedOn.test(file)).map(heard);
      for (const { budget, keep, seconds, blocks } of plans) {
        const patched = join(folder, `${budget}-${keep}-${seconds}.onnx`);
        const data = seconds === builtIn ? { seconds } : { data: joined(folder, sentences, seconds) };
        const { plan } = await linearizeFiles(encoder, patched, { calibration: { budget, keep, blocks, ...data } });
        const { cost = 0, exactHeads = 0, healing = [] } = plan?.content.calibration ?? {};
        const how = `${keep === 0 ? 'linear' : '10 % of heads exact'}${blocks ? ' with `blocks`' : ''}`;
        const name = `${how}, budget ${budget}, calibrated on ${seconds} s`;
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
      for (const gain of loudness) {
        const data = all.map((file) => scaled(join(folder, `${gain}`), file, gain));
        const { figures } = await transcribe(encoder, encoder, { data, seconds: 60 });
        const [original] = figures.map(({ name, value }) => ({ [name]: value }));
        add({ what: `all, joined to 60 s, as loud as × ${gain}`, ...original });
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};
