/**
 * all-MiniLM-L6-v2 with linear attention, on passages that calibration has not seen: wikitext-2 test cut into passages of
 * 512 tokens, calibrated on some of the first half, measured on some of the second; and STS-B dev.
 */
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { AutoTokenizer, env } from '@huggingface/transformers';
import { readCalibrationData } from '../../src/adapters/calibration-data.node.js';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { type Calibrated, type ChooseOptions, choosePlans } from '../../src/calibrate/calibrate.js';
import { spread } from '../../src/calibrate/survey.js';
import { type ModelSurvey, surveyModel } from '../../src/calibrate/survey-model.js';
import { describeHealing } from '../../src/cli/output.js';
import { linearize } from '../../src/linearize.js';
import { correlation } from '../../src/metrics.js';
import { calibrationKey, folderCheckpoint } from '../../src/node/checkpoint.js';
import { generateInputs } from '../../src/node/inputs.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { openModel } from '../../src/onnx/graph.js';
import { readTensor, writeTensor } from '../../src/onnx/tensor.js';
import { applyPlans } from '../../src/rewrite/apply.js';
import { lowerings } from '../../src/rewrite/lower/registry.js';
import { readPlan } from '../../src/rewrite/plan.js';
import type { SavedPlan } from '../../src/rewrite/saved-plan.js';
import type { Feeds, Session, TensorLike } from '../../src/session.js';
import { ranks, tasks } from '../../src/tasks.js';
import { dataFile, modelFile } from '../../test/shared.js';
import { runEach } from './outputs.js';
import type { AnswerRow, AnswerSuite } from './run.js';
import { rivals, timeInTurns } from './turns.js';

const path = modelFile('all-MiniLM-L6-v2/onnx/model.onnx');
const bytes = new Uint8Array(readFileSync(path));
const createSession = await nodeSessions('node', path);

interface Chosen extends ChooseOptions {
  readonly what: string;
}

const chosen: readonly Chosen[] = [
  { what: 'linear', budget: 104, keep: 0 },
  { what: 'linear', budget: 176, keep: 0 },
  { what: 'up to 7 of 72 heads exact', budget: 209, keep: 0.1 },
  { what: 'up to 15 of 72 heads exact', budget: 271, keep: 15 / 72 },
];
/** The same plan on every head, then that plan with a part left out. */
const uniform: Readonly<Record<string, string>> = {
  'no choice, no healing': 'hybrid:window=64,globals=32,codes=32',
  'no choice, no globals': 'hybrid:window=64,globals=0,codes=32',
  'no choice, no codebook': 'hybrid:window=64,globals=32,codes=0',
  'window only': 'window:window=176,globals=0',
  'FAVOR+ only': 'features:m=88',
};

/** Steps of distillation, one passage each, and of transfer a layer. */
const distilled = 86;

const subject =
  'all-MiniLM-L6-v2 on passages of 512 tokens that calibration has not seen (second half of wikitext-2 test, the first for';

/** Passages to calibrate on, and what a patched model's answers on others are measured by. */
async function passages({ inputs, held, add }: Parameters<AnswerSuite['run']>[0]) {
  const all = await readCalibrationData(openModel(decode(bytes)), path, [dataFile('text/wikitext-2-test.txt')], {
    inputs: Number.POSITIVE_INFINITY,
  });
  const half = all.feeds.length >> 1;
  const [fit, unseen] = [spread(all.feeds.slice(0, half), inputs), spread(all.feeds.slice(half), held)];
  const original = await runEach(createSession, bytes, unseen);
  const measure = async (what: string, patched: Uint8Array, more: AnswerRow = {}) => {
    const got = await runEach(createSession, patched, unseen);
    const runs = unseen.map((feeds, i) => ({ feeds, original: original[i], patched: got[i] }));
    const figures = tasks.embedding.measure(runs).map(({ name, value }) => [name, value] as const);
    add({ what, ...more, ...Object.fromEntries(figures) });
  };
  // An interrupted run goes on from the layers that it had measured.
  const checkpoint = (name: string) => folderCheckpoint(join(tmpdir(), name), calibrationKey(bytes, fit, 0));
  return { fit, measure, checkpoint };
}

export const minilm: AnswerSuite = {
  title: `${subject} calibration), patched against original`,
  async run(options) {
    const { add } = options;
    const { fit, measure, checkpoint } = await passages(options);
    const start = performance.now();
    const seconds = () => Math.round((performance.now() - start) / 1000);
    const survey = await surveyModel(bytes, fit, createSession, { checkpoint: checkpoint('performers-minilm') });
    add({ what: 'all candidates measured', seconds: seconds() });
    let cheapest: SavedPlan | undefined;
    for await (const { what, heal, choice } of healedChoices(survey, chosen)) {
      await measure(what, await apply(choice.plan), described(choice));
      if (heal.length === 1) cheapest ??= choice.plan;
    }
    for (const [what, plan] of Object.entries(uniform)) {
      const { name, options } = readPlan(plan);
      const all = survey.layers.map(({ site, constants }) => ({
        site,
        groups: [{ heads: Array.from({ length: site.heads }, (_, head) => head), plan: { name, options } }],
        why: what,
        constants,
      }));
      const KE = lowerings[name].keyEquivalents(options, survey.layers[0].keys);
      await measure(`${what}: ${plan}`, concat(encode(applyPlans(survey.model, all).proto)), { KE, 'exact heads': 0 });
    }
    const pairs = await similarityPairs();
    add({ what: 'original', 'STS-B': await sts(bytes, pairs) });
    if (!cheapest) return;
    add({ what: 'linear, budget 104, healed', 'STS-B': await sts(await apply(cheapest), pairs) });
    const always = await apply(forced(cheapest));
    add({ what: 'linear, budget 104, healed, in use on short inputs too', 'STS-B': await sts(always, pairs) });
  },
};

/** With settings of `blocks` among the candidates. */
export const minilmBlocks: AnswerSuite = {
  title: `${subject} calibration), with \`blocks\` among the candidates`,
  async run(options) {
    const { fit, measure, checkpoint } = await passages(options);
    const kept = { checkpoint: checkpoint('performers-minilm-blocks'), blocks: true };
    const survey = await surveyModel(bytes, fit, createSession, kept);
    // What estimates find leaves no head that has to stay exact.
    const settings = [104, 176, 271].map((budget) => ({ what: 'linear', budget, keep: 0 }));
    for await (const { what, choice } of healedChoices(survey, settings))
      await measure(what, await apply(choice.plan), described(choice));
  },
};

/** Short training of the projections on top, of their factors and in few directions. */
export const minilmDistilled: AnswerSuite = {
  title: `${subject} calibration), with \`blocks\` among the candidates, distilled`,
  async run(options) {
    const { fit, measure, checkpoint } = await passages(options);
    const kept = checkpoint('performers-minilm-blocks');
    const survey = await surveyModel(bytes, fit, createSession, { checkpoint: kept, blocks: true });
    for (const last of ['distill', 'subspace'] as const) {
      const given = {
        checkpoint: kept,
        training: { steps: distilled },
        heal: ['transfer', 'gain', 'mlp', last],
      } as const;
      const choice = await choosePlans(survey, createSession, { budget: 176, keep: 0, ...given });
      await measure(`linear, budget 176, ${last}`, await apply(choice.plan), described(choice));
    }
  },
};

/** Lengths beyond the model's 512 positions, which begin again there: its time is what is asked for, not its answers. */
const lengths = [1024, 2048, 4096, 8192];
/** Scores of more tokens than that, 12 heads of them, are more than WebAssembly can address. */
const longestOriginal = 4096;

export const minilmTime: AnswerSuite = {
  title:
    'all-MiniLM-L6-v2 calibrated at 512 tokens, its positions begun again after 512: processor time of one input, one thread, best of three in turns',
  async run(options) {
    const { fit, checkpoint } = await passages(options);
    const survey = await surveyModel(bytes, fit, createSession, { checkpoint: checkpoint('performers-minilm') });
    const models = [...rivals(bytes)];
    for (const budget of [104, 176]) {
      const { plan } = await choosePlans(survey, createSession, { budget, keep: 0, heal: false });
      models.push({ name: `budget ${budget}`, bytes: await apply(plan) });
    }
    const longer = models.map(({ name, bytes }) => ({ name, bytes: withPositions(bytes, Math.max(...lengths)) }));
    for (const runtime of ['node', 'wasm'] as const) {
      const sessions = await nodeSessions(runtime, path);
      for (const tokens of lengths) {
        const { feeds } = generateInputs(survey.model, { tokens });
        const run = longer.filter(({ name }) => name !== 'original' || tokens <= longestOriginal);
        for (const { what, ...row } of await timeInTurns(sessions, run, feeds))
          options.add({ tokens, what: `${runtime}: ${what}`, ...row });
      }
    }
  },
};

/** The constant of a BERT's graph that counts its positions, made longer by counting again. */
function withPositions(model: Uint8Array, count: number): Uint8Array {
  const { graph, ...proto } = decode(model);
  if (!graph) throw new TypeError('a model has a graph');
  let found = 0;
  const node = graph.node.map((node) => {
    const [value] = node.attribute;
    const tensor = node.opType === 'Constant' && value?.t ? readTensor(value.t) : undefined;
    if (String(tensor?.dims) !== '1,512' || !tensor) return node;
    found++;
    const raw = new Uint8Array(BigInt64Array.from({ length: count }, (_, i) => BigInt(i % 512)).buffer);
    return { ...node, attribute: [{ ...value, t: writeTensor({ ...tensor, dims: [1, count], raw }) }] };
  });
  if (found !== 1) throw new TypeError(`${found} constants could be the positions`);
  return concat(encode({ ...proto, graph: { ...graph, node } }));
}

/** Every setting as chosen, and healed: in closed form, and behind attention transfer. */
async function* healedChoices(survey: ModelSurvey, settings: readonly Chosen[]) {
  for (const { what, ...limits } of settings) {
    for (const heal of [[], ['gain'], ['gain', 'mlp'], ['transfer', 'gain', 'mlp']] as const) {
      const choice = await choosePlans(survey, createSession, { ...limits, heal });
      yield { what: `${what}, budget ${limits.budget}`, heal, choice };
    }
  }
}

function described({ plan, cost, exactHeads, healing }: Calibrated): AnswerRow {
  const groups = plan.sites.flatMap(({ plans }) => plans).filter(({ plan }) => plan.startsWith('blocks:'));
  const heads = groups.reduce((sum, { heads }) => sum + heads.length, 0);
  return {
    KE: cost,
    'exact heads': exactHeads,
    ...(heads > 0 && { 'heads with blocks': heads }),
    healing: healing.map(describeHealing).join(', '),
  };
}

const apply = async (saved: SavedPlan) => (await linearize(bytes, { saved })).bytes;

/** In use at any length. */
function forced(plan: SavedPlan): SavedPlan {
  return { ...plan, sites: plan.sites.map(({ exactUpTo: _, ...site }) => site) };
}

async function firstOutput(session: Session, feeds: Feeds): Promise<TensorLike> {
  const output = (await session.run(feeds))[session.outputNames[0] ?? ''];
  if (!output) throw new TypeError('a model has an output');
  return output;
}

interface Pair {
  readonly sentences: readonly [Feeds, Feeds];
  readonly score: number;
}

async function similarityPairs(): Promise<Pair[]> {
  const root = dirname(dirname(path));
  Object.assign(env, { localModelPath: `${dirname(root)}/`, allowRemoteModels: false });
  const tokenizer = await AutoTokenizer.from_pretrained(basename(root));
  const feedsOf = (text: string): Feeds => {
    const ids: number[] = tokenizer.encode(text);
    const tensor = (value: (i: number) => number) => ({
      type: 'int64',
      dims: [1, ids.length],
      data: BigInt64Array.from(ids, (_, i) => BigInt(value(i))),
    });
    return { input_ids: tensor((i) => ids[i]), attention_mask: tensor(() => 1), token_type_ids: tensor(() => 0) };
  };
  const lines = readFileSync(dataFile('stsb/sts-dev.csv'), 'utf8')
    .split('\n')
    .filter((line) => line.trim());
  return lines.map((line) => {
    const [, , , , score, a = '', b = ''] = line.split('\t');
    return { sentences: [feedsOf(a), feedsOf(b)], score: Number(score) };
  });
}

/** Spearman correlation of cosines with what people said. */
async function sts(model: Uint8Array, pairs: readonly Pair[]): Promise<number> {
  const session = await createSession(model);
  try {
    const cosines: number[] = [];
    for (const { sentences } of pairs) {
      const [a, b] = [pool(await firstOutput(session, sentences[0])), pool(await firstOutput(session, sentences[1]))];
      cosines.push(dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)));
    }
    return correlation(ranks(cosines), ranks(pairs.map(({ score }) => score)));
  } finally {
    await session.release();
  }
}

/** Sum over tokens [1,N,D] → [D]; a cosine does not see the factor. */
function pool({ data, dims }: TensorLike): Float64Array {
  const width = Number(dims.at(-1));
  const sum = new Float64Array(width);
  for (const [i, x] of Array.from<number | bigint | string, number>(data, Number).entries()) sum[i % width] += x;
  return sum;
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}
