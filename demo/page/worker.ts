/** The demo page's worker: one model, as it is and linearized, through the pipelines of transformers.js. */
import { env, pipeline } from '@huggingface/transformers';
import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';
import * as ort from 'onnxruntime-web/webgpu';
import passages from '../../assets/default-data/text/war-and-peace.txt?raw';
import { sessionFactory } from '../../src/adapters/onnxruntime.js';
import { performers } from '../../src/adapters/transformers.js';
import { PerformersError } from '../../src/errors.js';
import { compare, correlation, inspect, type LinearizeOptions, type SavedPlan } from '../../src/index.js';
import { recordError } from '../../src/node/error-record.js';
import { watchModel } from '../watch-model.js';
import { runBare } from './bare-model.js';
import { calibrateHere } from './calibrate-here.js';
import { headErrorsOf, headViews } from './head-views.js';
import { lowBitPlan } from './low-bit-plan.js';
import { type LoadedModel, loadModel } from './model-source.js';
import type { Ask, DeviceName, Input, Opened, PlanChoice, Ran, Reply, RunResult } from './protocol.js';
import { type Outcome, type Pipe, type Task, type TaskName, taskOf, tasks } from './tasks.js';

// Threads of wasm start from the file of the runtime, not from this bundle; transformers.js would take both from a CDN.
const wasmPaths = { mjs: new URL(mjs, import.meta.url).href, wasm: new URL(wasm, import.meta.url).href };
const numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
Object.assign(env.backends.onnx.wasm ?? {}, { wasmPaths, numThreads });
Object.assign(ort.env.wasm, { wasmPaths, numThreads });

let model: (LoadedModel & { readonly task?: TaskName }) | undefined;
/** The original stays open: every plan is compared with it. */
let reference: { readonly key: string; readonly pipe: Pipe } | undefined;
let referenceRun: { readonly key: string; readonly run: PipelineRun } | undefined;

const say = (reply: Reply) => postMessage(reply);
const phase = (what: string, done?: number, total?: number) => say({ kind: 'phase', what, done, total });

self.addEventListener('message', async ({ data }: MessageEvent<Ask>) => {
  try {
    say({ kind: 'value', value: await answer(data) });
  } catch (error) {
    say({ kind: 'error', error: recordError(error) });
  }
});

async function answer(ask: Ask): Promise<Opened | RunResult | SavedPlan> {
  if (ask.op === 'open') return open(ask);
  if (!model) throw new TypeError('no model is open');
  if (ask.op === 'run') return run(model, ask);
  const task = taskFor(model);
  if (task.input === 'text' && model.task === 'text-generation') {
    throw new PerformersError('PF501', 'models that generate are not calibrated in the page', {
      at: 'calibrate here',
      mend: 'performers linearize MODEL -o OUT --budget 271, then choose the plan file it writes',
    });
  }
  const pipe = await openPipe({ original: true }, 'wasm');
  resize(pipe, ask.px);
  const texts = passages
    .split(/\n{2,}/)
    .filter((text) => text.length > 200)
    .slice(0, 9);
  const createSession = sessionFactory(ort, { executionProviders: ['wasm'] });
  const onProgress = ({ done, total, what }: { done: number; total: number; what: string }) =>
    phase(`calibrating: ${what}`, done, total);
  try {
    return await calibrateHere({
      bytes: model.bytes,
      pipe,
      task,
      plan: ask.plan,
      passages: texts,
      createSession,
      onProgress,
    });
  } finally {
    await pipe.dispose();
  }
}

async function open({ source, modelsUrl }: Extract<Ask, { op: 'open' }>): Promise<Opened> {
  phase('reading the model');
  await reference?.pipe.dispose();
  [reference, referenceRun] = [undefined, undefined];
  const loaded = await loadModel(source, modelsUrl);
  phase('looking for attention');
  const { sites, refusals, nearMisses } = await inspect(loaded.bytes, { file: loaded.id });
  const task = loaded.config && taskOf(loaded.config, loaded.hasImages);
  model = { ...loaded, ...(task && { task }) };
  return {
    name: loaded.id.replace(/^disk-\d+\//, ''),
    megabytes: loaded.bytes.byteLength / 1e6,
    layers: sites.map(({ operands: _, ...site }, layer) => ({ ...site, layer })),
    left: [
      ...refusals.map(({ node, reason }) => ({ node, reason })),
      ...nearMisses.map(({ node, expected, found }) => ({ node, reason: `expected ${expected}, found ${found}` })),
    ],
    samples: loaded.samples,
    ...(task && { task }),
    ...(loaded.saved && { saved: loaded.saved }),
    ...(loaded.note && { note: loaded.note }),
  };
}

interface PipelineRun {
  readonly ran: Ran;
  readonly outcome: Outcome;
  readonly inputs: ReturnType<ReturnType<typeof watchModel>['inputs']>;
}

async function run(
  loaded: NonNullable<typeof model>,
  { choice, input, device }: Extract<Ask, { op: 'run' }>,
): Promise<RunResult> {
  const plan = optionsOf(choice);
  const createSession = sessionFactory(ort, { executionProviders: ['wasm'] });
  if (input.kind === 'random')
    return runBare(loaded.bytes, plan, input.tokens, sessionFactory(ort, { executionProviders: [device] }), phase);
  const key = JSON.stringify([loaded.id, device]);
  if (reference?.key !== key) {
    await reference?.pipe.dispose();
    reference = undefined;
    phase('loading the original');
    reference = { key, pipe: await openPipe({ original: true }, device) };
  }
  const inputKey = JSON.stringify([key, await fingerprint(input)]);
  if (referenceRun?.key !== inputKey) {
    phase('running the original');
    referenceRun = { key: inputKey, run: await timed(reference.pipe, taskFor(loaded), input) };
  }
  const want = referenceRun.run;
  phase('rewriting the model');
  const pipe = await openPipe(plan, device);
  try {
    phase('running it with other attention');
    const got = await timed(pipe, taskFor(loaded), input);
    const { sites } = Object.values(performers.report(pipe))[0] ?? { sites: [] };
    phase('comparing every head');
    const errors = await headErrorsOf(loaded.bytes, plan, want.inputs, createSession);
    return {
      original: want.ran,
      patched: got.ran,
      error: {
        what: want.outcome.what,
        relRMS: compare(got.outcome.numbers, want.outcome.numbers).relRMS,
        correlation: correlation(got.outcome.numbers, want.outcome.numbers),
      },
      heads: headViews(sites, errors.heads),
      ...(errors.missing && { headsMissing: errors.missing }),
    };
  } finally {
    await pipe.dispose();
  }
}

function optionsOf(choice: PlanChoice): LinearizeOptions {
  return 'plan' in choice ? { plan: choice.plan } : { saved: lowBitPlan(choice.saved, choice.bits) };
}

function taskFor({ task }: { readonly task?: TaskName }): Task {
  if (task) return tasks[task];
  throw new PerformersError('PF106', 'the model has no config.json, so that there is no pipeline for it', {
    at: 'model',
    mend: 'choose the folder of a transformers.js model, or run it on random inputs',
  });
}

async function openPipe(options: LinearizeOptions & { original?: boolean }, device: DeviceName): Promise<Pipe> {
  if (!model?.task) throw new TypeError('no pipeline for this model');
  const pipe = await pipeline(model.task, model.id, { dtype: 'fp32', ...performers({ ...options, device }) });
  return pipe as unknown as Pipe;
}

/** What the images of a pipeline are resized to. */
function resize(pipe: Pipe, px: number): void {
  Object.assign(pipe.processor?.image_processor ?? {}, { size: { width: px, height: px } });
}

/** The middle of up to three runs, of one where that takes long, after one that compiles. */
async function timed(pipe: Pipe, task: Task, input: Input): Promise<PipelineRun> {
  if (input.kind === 'image') resize(pipe, input.px);
  const seen = watchModel(pipe.model);
  let outcome = await task.ask(pipe, input);
  const inputs = seen.inputs();
  const times: number[] = [];
  for (let spent = 0; times.length < 3 && spent < 1500; spent += times.at(-1) ?? 0) {
    const start = performance.now();
    outcome = await task.ask(pipe, input);
    times.push(performance.now() - start);
  }
  const ms = times.sort((a, b) => a - b)[times.length >> 1];
  return { ran: { answer: outcome.answer, ms, runs: times.length }, outcome, inputs };
}

async function fingerprint(input: Input): Promise<unknown> {
  if (input.kind !== 'image') return input;
  const digest = await crypto.subtle.digest('SHA-256', await input.image.arrayBuffer());
  return [input.px, ...new Uint8Array(digest)];
}
