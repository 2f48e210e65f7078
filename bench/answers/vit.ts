/**
 * The vision transformer that ships, on photos that calibration has not seen: correlation of its maps with the original's by
 * size and plan, and its time beside the original's and that of the same model without attention. Constants are of one
 * size, 448 pixels, for all of them, or of two.
 */
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readCalibrationData } from '../../src/adapters/calibration-data.node.js';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { type ChooseOptions, choosePlans } from '../../src/calibrate/calibrate.js';
import { surveyModel } from '../../src/calibrate/survey-model.js';
import { describeHealing } from '../../src/cli/output.js';
import { linearize } from '../../src/linearize.js';
import { calibrationKey, folderCheckpoint } from '../../src/node/checkpoint.js';
import { defaultData } from '../../src/node/default-data.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { lowerings } from '../../src/rewrite/lower/registry.js';
import { readPlan, type SiteConstants } from '../../src/rewrite/plan.js';
import type { Feeds, SessionFactory } from '../../src/session.js';
import { tasks } from '../../src/tasks.js';
import { runEach } from './outputs.js';
import type { AnswerRow, AnswerSuite } from './run.js';
import { rivals, timeInTurns } from './turns.js';

const shipped = fileURLToPath(new URL('../../models/vit-s14-saliency/', import.meta.url));
const path = join(shipped, 'onnx/model.onnx');
const bytes = new Uint8Array(readFileSync(path));
const model = openModel(decode(bytes));
const sizes = [448, 700, 980];

const chosen: readonly (ChooseOptions & { readonly budget: number })[] = [
  { budget: 200, keep: 0, heal: false },
  { budget: 250, keep: 0, heal: false },
  { budget: 330, keep: 0, heal: false },
  { budget: 330, keep: 0, heal: ['mlp'] },
  { budget: 330, keep: 0, heal: ['gain', 'mlp'] },
];
/** The same plan on every head, then that plan with a part left out. */
const uniform: Readonly<Record<string, string>> = {
  'no choice': 'hybrid-2d:globals=64,codes=32,assign=pairs',
  'no choice, codes moved': 'hybrid-2d:globals=64,codes=32,assign=pairs,steps=1',
  'no choice, a ring': 'hybrid-2d:globals=64,codes=32,assign=pairs,ring=2',
  'no choice, no globals': 'hybrid-2d:globals=0,codes=32,assign=pairs',
  'no choice, no codebook': 'hybrid-2d:globals=64,codes=0',
  'window only': 'hybrid-2d:tile=8,halo=4,globals=0,codes=0',
  'FAVOR+ only': 'features:m=128',
};

interface Patch {
  readonly what: AnswerRow;
  readonly patched: Uint8Array;
}

type Data = Parameters<AnswerSuite['run']>[0];

/** Photos of every size, what was measured of every head, and what was chosen by it. */
async function prepare({ fit, unseen }: Data, choices = chosen, calibrated: readonly number[] = [448]) {
  const createSession = await nodeSessions('node', path);
  const photos = (size: number | readonly number[], from: readonly string[]) =>
    readCalibrationData(model, path, from, { size });
  const { feeds } = await photos(calibrated, fit.length > 0 ? fit : [defaultData(model)]);
  const held = new Map<number, readonly Feeds[]>();
  const samples = [join(shipped, 'samples')];
  for (const size of sizes) held.set(size, (await photos(size, unseen.length > 0 ? unseen : samples)).feeds);
  // An interrupted run goes on from the layers that it had measured.
  const kept = join(tmpdir(), ['performers-vit', ...calibrated].join('-'));
  const checkpoint = folderCheckpoint(kept, calibrationKey(bytes, feeds, 0));
  const survey = await surveyModel(bytes, feeds, createSession, { checkpoint });
  const patches: Patch[] = [];
  for (const options of choices) {
    const { plan, cost, exactHeads, healing } = await choosePlans(survey, createSession, options);
    const what = {
      what: `budget ${options.budget}`,
      KE: cost,
      'exact heads': exactHeads,
      healing: healing.map(describeHealing).join(', '),
    };
    patches.push({ what, patched: (await linearize(bytes, { saved: plan })).bytes });
  }
  return { createSession, held, survey, patches };
}

export const vit: AnswerSuite = {
  title: 'vit-s14-saliency, correlation of maps with the original’s; calibrated on other photos at 448 pixels',
  async run(data) {
    const { add } = data;
    const { createSession, held, survey, patches } = await prepare(data);
    const [keys] = survey.layers.map((layer) => layer.keys);
    const everywhere = (plan: string, of: (layer: number) => SiteConstants) => {
      const { name, options } = readPlan(plan);
      const plans = survey.layers.map(({ site }, layer) => ({
        site,
        groups: [{ heads: Array.from({ length: site.heads }, (_, head) => head), plan: { name, options } }],
        why: plan,
        constants: of(layer),
      }));
      const patched = concat(encode(applyPlans(survey.model, plans).proto));
      return { patched, KE: lowerings[name].keyEquivalents(options, keys) };
    };
    const ablations = Object.entries(uniform).map(([what, plan]) => {
      const { patched, KE } = everywhere(plan, (layer) => survey.layers[layer].constants);
      return { what: { what: `${what}: ${plan}`, KE, 'exact heads': 0 }, patched };
    });
    for (const [size, inputs] of held)
      await compare(createSession, {
        size,
        inputs,
        patches: [...patches, ...(size === sizes[2] ? [] : ablations)],
        add,
      });
  },
};

export const vitSizes: AnswerSuite = {
  title:
    'vit-s14-saliency, correlation of maps with the original’s; calibrated on other photos at 448 and at 980 pixels',
  async run(data) {
    const unhealed = chosen.filter(({ heal }) => heal === false);
    const { createSession, held, patches } = await prepare(data, unhealed, [448, 980]);
    for (const [size, inputs] of held) await compare(createSession, { size, inputs, patches, add: data.add });
  },
};

interface Compared {
  readonly size: number;
  readonly inputs: readonly Feeds[];
  readonly patches: readonly Patch[];
  readonly add: Data['add'];
}

/** Maps of every patch beside those of the original, at one size. */
async function compare(createSession: SessionFactory, { size, inputs, patches, add }: Compared): Promise<void> {
  const original = await runEach(createSession, bytes, inputs);
  for (const { what, patched } of patches) {
    const got = await runEach(createSession, patched, inputs);
    const runs = inputs.map((one, i) => ({ feeds: one, original: original[i], patched: got[i] }));
    const figures = tasks.dense.measure(runs).map(({ name, value }) => [name, value] as const);
    add({ px: size, photos: inputs.length, ...what, ...Object.fromEntries(figures) });
  }
}

export const vitTime: AnswerSuite = {
  title:
    'vit-s14-saliency, processor time of one photo, one thread, best of three in turns: calibrated plans, the original, and the same model without attention',
  async run(data) {
    // Healing changes weights and adds one product a layer: what is timed is the attention.
    const { held, patches } = await prepare(
      data,
      chosen.filter(({ heal }) => heal === false),
    );
    const models = [
      ...rivals(bytes),
      ...patches.map(({ what, patched }) => ({ name: String(what.what), bytes: patched })),
    ];
    for (const runtime of ['node', 'wasm'] as const) {
      const createSession = await nodeSessions(runtime, path);
      for (const [px, [input]] of held)
        for (const { what, ...row } of await timeInTurns(createSession, models, input))
          data.add({ px, what: `${runtime}: ${what}`, ...row });
    }
  },
};
