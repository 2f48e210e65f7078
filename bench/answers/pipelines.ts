/**
 * Every real model with every plan it takes, in its own pipeline of transformers.js: what was rewritten, and how far the
 * result is from the original's. Short inputs: that all of it runs is what this shows, not how well a plan holds.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { env, pipeline, RawImage } from '@huggingface/transformers';
import { readSound } from '../../src/adapters/audio.node.js';
import { performers } from '../../src/adapters/transformers.node.js';
import type { Report } from '../../src/linearize.js';
import { compare } from '../../src/metrics.js';
import type { CalibrateFileOptions } from '../../src/node/calibrate-file.js';
import { linearizeFiles } from '../../src/node/linearize-files.js';
import { dataFile, modelFile } from '../../test/shared.js';
import type { AnswerRow, AnswerSuite } from './run.js';

/** What a pipeline answers: numbers, or a text. */
type Answer = Float32Array | string;
/** A pipeline, whatever it takes. */
type Run = (input: unknown, options?: object) => Promise<unknown>;

interface PipelineCase {
  readonly name: string;
  readonly folder: string;
  /** The file that calibration reads. */
  readonly file: string;
  readonly task: 'feature-extraction' | 'depth-estimation' | 'text-generation' | 'automatic-speech-recognition';
  readonly dtype: 'fp32' | 'q4';
  readonly calibration: Omit<CalibrateFileOptions, 'keep'>;
  ask(run: Run): Promise<Answer>;
}

const wikitext = readFileSync(dataFile('text/wikitext-2-test.txt'), 'utf8');
const passage = wikitext.slice(-6000, -3500);
const recording = dataFile('speech/sense_and_sensibility_01_austen_64kb-0920.wav');
const shipped = fileURLToPath(new URL('../../models/vit-s14-saliency', import.meta.url));
const onText = { data: [dataFile('text/wikitext-2-test.txt')], inputs: 6, length: 256, budget: 176 };

const continued = async (run: Run, text: string) => {
  const given = { max_new_tokens: 24, do_sample: false, return_full_text: false };
  const [{ generated_text: words }] = (await run(text, given)) as [{ generated_text: string }];
  return words;
};
const embedded = async (run: Run, text: string) => {
  const { data } = (await run(text, { pooling: 'mean', normalize: true })) as { data: Float32Array };
  return Float32Array.from(data);
};

const models: readonly PipelineCase[] = [
  {
    name: 'all-MiniLM-L6-v2',
    folder: modelFile('all-MiniLM-L6-v2'),
    file: 'onnx/model.onnx',
    task: 'feature-extraction',
    dtype: 'fp32',
    calibration: onText,
    ask: (run) => embedded(run, passage),
  },
  {
    name: 'use-lite',
    folder: modelFile('use-lite'),
    file: 'onnx/model.onnx',
    task: 'feature-extraction',
    dtype: 'fp32',
    calibration: { ...onText, length: 128, budget: 64 },
    ask: (run) => embedded(run, passage.slice(0, 500)),
  },
  {
    name: 'vit-s14-saliency',
    folder: shipped,
    file: 'onnx/model.onnx',
    task: 'depth-estimation',
    dtype: 'fp32',
    calibration: { inputs: 4, budget: 250 },
    async ask(run) {
      const image = await RawImage.read(join(shipped, 'samples/chelsea.png'));
      const { predicted_depth: map } = (await run(image)) as { predicted_depth: { data: Float32Array } };
      return Float32Array.from(map.data);
    },
  },
  {
    name: 'moonshine-tiny',
    folder: modelFile('moonshine-tiny'),
    file: 'onnx/encoder_model.onnx',
    task: 'automatic-speech-recognition',
    dtype: 'fp32',
    calibration: { seconds: 5, budget: 176 },
    async ask(run) {
      const { text } = (await run(await readSound(recording, 16_000))) as { text: string };
      return text;
    },
  },
  ...(['stories260K', 'babyllama-tok105'] as const).map(
    (name): PipelineCase => ({
      name,
      folder: modelFile(name),
      file: 'onnx/model.onnx',
      task: 'text-generation',
      dtype: 'fp32',
      calibration: { data: [dataFile('text/tinystories-sample.txt')], inputs: 6, length: 192, budget: 110 },
      ask: (run) => continued(run, 'Once upon a time, there was a little girl named Lily.'),
    }),
  ),
  {
    name: 'SmolLM2-135M-Instruct',
    folder: modelFile('SmolLM2-135M-Instruct'),
    file: 'onnx/model_q4.onnx',
    task: 'text-generation',
    dtype: 'q4',
    calibration: { ...onText, inputs: 4, budget: 128 },
    ask: (run) => continued(run, 'The lighthouse of Alexandria was'),
  },
];

const plans = [
  'exact',
  'exact-blocked:block=64',
  'window:window=64',
  'features:m=32',
  'signed:m=32',
  'hybrid-causal:window=32,globals=0,sinks=4,codes=0',
  'calibrated',
];

export const pipelines: AnswerSuite = {
  title: 'every real model with every plan in its own transformers.js pipeline (@huggingface/transformers 4.3.1, Node)',
  async run({ add }) {
    env.allowRemoteModels = false;
    for (const model of models) {
      const want = await answer(model, {});
      for (const plan of plans) {
        const found = await withPlan(model, plan, want);
        add({ model: model.name, task: model.task, plan, ...found });
      }
    }
  },
};

async function withPlan(model: PipelineCase, plan: string, { answer: want }: Asked): Promise<AnswerRow> {
  const folder = mkdtempSync(join(tmpdir(), 'performers-pipelines-'));
  try {
    const { answer: got, reports } =
      plan === 'calibrated'
        ? await calibrated(model, folder)
        : await answer(model, performers({ device: 'cpu', plan }));
    const sites = reports.flatMap((report) => report.sites);
    const used = new Set(sites.flatMap((site) => site.plans.map((group) => group.plan.replace(/:.*/, ''))));
    const result: AnswerRow =
      typeof got === 'string' || typeof want === 'string'
        ? { same: got === want ? 'yes' : 'no', answer: String(got).trim() }
        : { relRMS: Number(compare(got, want).relRMS.toPrecision(2)) };
    return { sites: sites.length, 'plans used': [...used].join(', '), ...result };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A folder of the same layout in which one file is calibrated: what a model of several files needs. */
async function calibrated(model: PipelineCase, folder: string): Promise<Asked> {
  const copy = join(folder, model.name);
  cpSync(model.folder, copy, { recursive: true });
  const original = join(model.folder, model.file);
  const { reports } = await linearizeFiles(original, join(copy, model.file), {
    calibration: model.calibration,
    force: true,
  });
  const { answer: got } = await answer({ ...model, folder: copy }, {});
  return { answer: got, reports };
}

interface Asked {
  readonly answer: Answer;
  readonly reports: readonly Report[];
}

async function answer({ folder, name, task, dtype, ask }: PipelineCase, options: object): Promise<Asked> {
  env.localModelPath = `${dirname(folder)}/`;
  const pipe = await pipeline(task, name, { dtype, device: 'cpu', ...options });
  try {
    const answer = await ask(pipe as unknown as Run);
    const reports = 'session_options' in options ? Object.values(performers.report(pipe)) : [];
    return { answer, reports };
  } finally {
    await pipe.dispose();
  }
}
