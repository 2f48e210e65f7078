/** Feature maps that calibration fits to a model's queries and keys beside those that look at nothing, on all heads of all-MiniLM-L6-v2. */
import { readFileSync } from 'node:fs';
import { readCalibrationData } from '../../src/adapters/calibration-data.node.js';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { spread } from '../../src/calibrate/survey.js';
import { surveyModel } from '../../src/calibrate/survey-model.js';
import { compareOutputs } from '../../src/metrics.js';
import { curvesOf, figure } from '../../src/node/feature-plots.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import type { Panel } from '../../src/plots/panel.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { type Plan, readPlan } from '../../src/rewrite/plan.js';
import type { Feeds, Session } from '../../src/session.js';
import { tasks } from '../../src/tasks.js';
import { dataFile, modelFile } from '../../test/shared.js';
import type { FeatureSuite } from './run.js';

export interface CalibratedRow {
  readonly method: string;
  readonly m: number;
  readonly seed: number;
  /** What the heads of a layer get wrong of what it adds, root mean square over layers; on the inputs that tau was chosen by. */
  readonly layers: number;
  /** Relative root mean square error of the token embeddings, and mean cosine of the pooled ones, on passages not seen before. */
  readonly output: number;
  readonly cosine: number;
}

const maps = ['favor+', 'hyperbolic', 'shift', 'oprf', 'sderf', 'aderf'];
const [counts, seeds] = [[32, 128, 512], 2];
/** Passages of 256 tokens: two thirds of the first to fit on, the rest to choose tau by; others to measure on. */
const [tokens, calibrated, unseen] = [256, 12, 24];

export const calibratedMaps: FeatureSuite<CalibratedRow> = {
  title: `positive feature maps on all heads of all-MiniLM-L6-v2, calibrated on ${calibrated} passages of ${tokens} tokens of wikitext-2 test, measured on ${unseen} others`,
  run: async (report) => {
    const path = modelFile('all-MiniLM-L6-v2/onnx/model.onnx');
    const bytes = new Uint8Array(readFileSync(path));
    const createSession = await nodeSessions('node', path);
    const run = async (model: Uint8Array, feeds: readonly Feeds[]) => {
      const session: Session = await createSession(model);
      const outputs: Awaited<ReturnType<Session['run']>>[] = [];
      for (const one of feeds) outputs.push(await session.run(one));
      await session.release();
      return outputs;
    };
    const { feeds } = await readCalibrationData(
      openModel(decode(bytes)),
      path,
      [dataFile('text/wikitext-2-test.txt')],
      { inputs: Number.POSITIVE_INFINITY, length: tokens },
    );
    const half = feeds.length >> 1;
    const others = spread(feeds.slice(half), unseen);
    const want = await run(bytes, others);
    const rows: CalibratedRow[] = [];
    for (const m of counts) {
      for (let seed = 0; seed < seeds; seed++) {
        const plans = maps.map((map) => readPlan({ name: 'features', map, m, seed }));
        const survey = await surveyModel(bytes, spread(feeds.slice(0, half), calibrated), createSession, {
          candidates: () => plans,
        });
        for (const [p, plan] of plans.entries()) {
          const got = await run(patched(survey, plan), others);
          const errors = got.map((one, i) => compareOutputs(one, want[i])[0]?.relRMS ?? Number.NaN);
          const name = Object.keys(want[0])[0] ?? '';
          const runs = others.map((one, i) => ({ feeds: one, original: want[i][name], patched: got[i][name] }));
          const cosine = tasks.embedding.measure(runs).find((found) => found.name === 'cosine')?.value ?? Number.NaN;
          const layers = survey.layers.map(({ shares }) => shares.reduce((sum, row) => sum + row[p], 0));
          rows.push({ method: maps[p], m, seed, layers: Math.sqrt(mean(layers)), output: rms(errors), cosine });
          report(`${maps[p]}, m = ${m}`, rows.length, maps.length * counts.length * seeds);
        }
      }
    }
    return rows;
  },
  draw: (rows) => {
    const panel = (title: string, yLabel: string, y: (row: CalibratedRow) => number): Panel => ({
      title,
      xLabel: 'm, features a head',
      yLabel,
      yScale: 'linear',
      xTicks: counts,
      curves: curvesOf(rows, ({ m }) => m, y),
    });
    return figure([
      panel('Attention layers of all-MiniLM-L6-v2', 'relative error', ({ layers }) => layers),
      panel('Its sentence embeddings', 'cosine with the original', ({ cosine }) => cosine),
    ]);
  },
};

/** One plan on all heads. */
function patched({ model, layers }: Awaited<ReturnType<typeof surveyModel>>, plan: Plan): Uint8Array {
  const all = layers.map(({ site, constants }) => ({
    site,
    groups: [{ heads: Array.from({ length: site.heads }, (_, head) => head), plan }],
    why: 'bench',
    constants,
  }));
  return concat(encode(applyPlans(model, all).proto));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

const rms = (values: readonly number[]) => Math.sqrt(mean(values.map((value) => value * value)));
