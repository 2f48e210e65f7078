/**
 * SmolLM2-135M-Instruct (4-bit; its graph with GroupQueryAttention, or that with Softmax in plain sight) with a state in the place of its key cache, on text that calibration has not
 * seen: calibrated on passages of 1,024 tokens of the first half of wikitext-2 test that repeat runs of themselves (or a plan file,
 * --plan), measured on the second half at up to its 8,192 positions, or by pass codes hidden in that text.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCalibrationData } from '../../src/adapters/calibration-data.node.js';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { choosePlans } from '../../src/calibrate/calibrate.js';
import { surveyModel } from '../../src/calibrate/survey-model.js';
import { calibrationKey, folderCheckpoint } from '../../src/node/checkpoint.js';
import { linearizeFiles } from '../../src/node/linearize-files.js';
import { readPlanFile } from '../../src/node/plan-file.js';
import { verifyTask } from '../../src/node/task-files.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import type { SavedPlan } from '../../src/rewrite/saved-plan.js';
import { dataFile, modelFile } from '../../test/shared.js';
import type { AnswerRow, AnswerSuite } from './run.js';

const packed = modelFile('SmolLM2-135M-Instruct/onnx/model_q4.onnx');
const plain = modelFile('SmolLM2-135M-Instruct/onnx/model_plain_q4.onnx');
interface Limits {
  readonly budget: number;
  /** The share of heads that stay exact at most. */
  readonly keep: number;
}
const limits: readonly Limits[] = [
  { budget: 271, keep: 0.1 },
  { budget: 271, keep: 0.2 },
];
const lengths = [1024, 2048, 4096, 8192];
/** Tokens at which the original was seen to find a code. */
const hidden = [1681, 3029];

const losses = (path: string, graph: string, only = { limits, lengths }): AnswerSuite => ({
  title: `SmolLM2-135M-Instruct${graph} with a state, on the second half of wikitext-2 test, original → patched; change of the loss in nats a token, interval by passages`,
  async run({ inputs, held, plan, add }) {
    await eachPlan(path, { inputs, plan, limits: only.limits }, async (what, patched, data) => {
      for (const length of only.lengths) add({ what, ...(await generate(path, patched, data, length, held)) });
    });
  },
});

export const smollm2 = losses(packed, '');
export const smollm2Plain = losses(plain, ', Softmax in plain sight,');
/** At the smaller of the budgets that QUALITY 3.4 has figures for. */
export const smollm2Small = losses(packed, '', { limits: [{ budget: 213, keep: 0.1 }], lengths: lengths.slice(0, 2) });

export const smollm2Codes: AnswerSuite = {
  title:
    'SmolLM2-135M-Instruct with a state: pass codes found in the second half of wikitext-2 test, original → patched',
  async run({ inputs, held, plan, add }) {
    await eachPlan(packed, { inputs, plan, limits }, async (what, patched, data) => {
      for (const length of hidden) add({ what, ...(await retrieve(packed, patched, data, length, held)) });
    });
  },
};

/** The patched model of every plan, and the text to measure it on. */
async function eachPlan(
  path: string,
  { inputs, plan, limits }: { inputs: number; plan?: string; limits: readonly Limits[] },
  measure: (what: string, patched: string, data: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'performers-smollm2-'));
  try {
    const halves = cutInHalves(folder);
    const plans = plan === undefined ? await choices(path, halves.first, { inputs, limits }) : [await readPlan(plan)];
    for (const { what, saved } of plans) {
      const patched = join(folder, 'patched.onnx');
      await linearizeFiles(path, patched, { saved, force: true });
      await measure(what, patched, halves.second);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function cutInHalves(folder: string) {
  const text = readFileSync(dataFile('text/wikitext-2-test.txt'));
  const middle = text.indexOf('\n', text.length / 2) + 1;
  const write = (name: string, part: Uint8Array) => {
    writeFileSync(join(folder, name), part);
    return join(folder, name);
  };
  return { first: write('first.txt', text.subarray(0, middle)), second: write('second.txt', text.subarray(middle)) };
}

interface Named {
  readonly what: string;
  readonly saved: SavedPlan;
}

async function readPlan(file: string): Promise<Named> {
  const { saved } = await readPlanFile(file);
  if (!saved) throw new Error(`${file} is no plan that calibration wrote`);
  return { what: 'the plan given', saved };
}

/** What calibration chooses at every share; one survey for all, which an interrupted run goes on with. */
async function choices(
  path: string,
  data: string,
  { inputs, limits }: { inputs: number; limits: readonly Limits[] },
): Promise<Named[]> {
  const bytes = new Uint8Array(readFileSync(path));
  const model = openModel(decode(bytes));
  const { feeds } = await readCalibrationData(model, path, [data], { inputs, length: 1024, recall: true });
  const createSession = await nodeSessions('node', path);
  const checkpoint = folderCheckpoint(join(tmpdir(), 'performers-smollm2'), calibrationKey(bytes, feeds, 0));
  const survey = await surveyModel(bytes, feeds, createSession, { checkpoint });
  const found: Named[] = [];
  for (const each of limits) {
    const { plan, cost, exactHeads } = await choosePlans(survey, createSession, each);
    found.push({ what: `${Math.round(cost)} key equivalents, ${exactHeads} exact heads`, saved: plan });
  }
  return found;
}

async function generate(path: string, patched: string, data: string, length: number, held: number): Promise<AnswerRow> {
  const inputs = Math.max(1, Math.round((held * lengths[0]) / length));
  const given = { task: 'generation', data: [data], lengths: [length], inputs, generate: 16 } as const;
  const { generation } = await verifyTask(path, patched, given);
  const [row] = generation?.lengths ?? [];
  if (!generation || !row) throw new Error('nothing was measured');
  const { original, patched: state } = row.bytes;
  const bounded = generation.baseline?.lengths[0];
  return {
    tokens: length,
    passages: row.passages,
    loss: row.loss,
    change: row.change.value,
    ...(row.change.interval && { interval: row.change.interval.map((end) => end.toFixed(4)).join(' … ') }),
    'same token': row.sameTop.value,
    ...(bounded && {
      'keys of a bounded cache of as many bytes': generation.baseline?.windows[0].window ?? 0,
      'its change': bounded.change.value,
      'its same token': bounded.sameTop.value,
    }),
    'alike of 16': row.alike.value,
    MB: turns(original / 1e6, state / 1e6),
    'ms a token': turns(row.msPerToken.original, row.msPerToken.patched),
    'prompt tokens/s': turns(row.promptTokensPerSecond.original, row.promptTokensPerSecond.patched),
    ...Object.fromEntries(
      generation.positions.map(({ from, to, change }) => [
        `change, ${from} to ${to === length - 1 ? length : to}`,
        change.value,
      ]),
    ),
  };
}

async function retrieve(path: string, patched: string, data: string, length: number, held: number): Promise<AnswerRow> {
  const given = { task: 'retrieval', data: [data], lengths: [length], inputs: held } as const;
  const { figures } = await verifyTask(path, patched, given);
  const [original, state] = figures;
  return { tokens: length, codes: held, found: turns(original.value * held, state.value * held) };
}

function turns(original: number, patched: number): string {
  const digits = (value: number) => String(Number(value.toPrecision(3)));
  return `${digits(original)} → ${digits(patched)}`;
}
