import { existsSync } from 'node:fs';
import {
  type DataOptions,
  hashFiles,
  listData,
  readCalibrationData,
  type Source,
} from '../adapters/calibration-data.node.js';
import { type NodeRuntime, nodeSessions } from '../adapters/runtime.node.js';
import { PerformersError } from '../errors.js';
import { compare, toNumbers } from '../metrics.js';
import { decode } from '../onnx/decode.js';
import { openModel } from '../onnx/graph.js';
import type { Feeds, TensorLike } from '../session.js';
import type { Figure } from '../tasks/figures.js';
import { type Task, type TaskName, type TaskRun, tasks } from '../tasks.js';
import type { Progress } from '../verify.js';
import { type Generation, measureGeneration } from './generation.js';
import { readBytes } from './model-folder.js';
import { type PlanFile, readPlanFile } from './plan-file.js';
import { measureRetrieval, type Retrieval } from './retrieval.js';
import { type Transcription, transcribe } from './transcribe.js';

/** Tasks on one output of a model, those of a decoder that goes on with what it gives out, and one on a whole pipeline. */
export const taskSummaries = {
  ...Object.fromEntries(Object.entries(tasks).map(([name, { summary }]) => [name, summary])),
  generation: 'language models: loss by position, text generated alike, bytes between calls, time (by --lengths)',
  retrieval: 'language models: pass codes found again in texts of --lengths tokens',
  transcription: 'speech: words wrong (encoders of recognisers; WAV files, their words in a .txt of the same name)',
};

export interface TaskOptions extends DataOptions {
  readonly task: TaskName | 'generation' | 'retrieval' | 'transcription';
  readonly data: readonly string[];
  /** Tokens of texts, of generation and retrieval. */
  readonly lengths?: readonly number[];
  /** Tokens that generation goes on for. */
  readonly generate?: number;
  /** False: generation reads nothing with a bounded cache beside a state. */
  readonly baseline?: boolean;
  readonly runtime?: NodeRuntime;
  readonly onProgress?: Progress;
}

export interface TaskResult {
  readonly task: TaskOptions['task'];
  /** For people: `200 passages of 512 tokens`. */
  readonly what: string;
  readonly figures: readonly Figure[];
  /**
   * Where the first output errs far more than on the inputs that calibration held out: these look unlike what it was calibrated on.
   * Relative RMS errors.
   */
  readonly unlike?: { readonly error: number; readonly calibrated: number };
  readonly transcripts?: Transcription['transcripts'];
  readonly generation?: Pick<Generation, 'lengths' | 'positions' | 'texts' | 'baseline'>;
  readonly answers?: Retrieval['answers'];
}

/**
 * Runs an original and a patched model on data and measures the task. Data that the patched model was calibrated on, as
 * the plan file beside it says, is refused.
 *
 * @throws PerformersError PF101–PF107, PF301, PF302, PF304 (longer than the model's positions), PF501 (data that does not fit, too
 * little, or seen in calibration)
 */
export async function verifyTask(original: string, patched: string, options: TaskOptions): Promise<TaskResult> {
  const { sources: seen = [], heldError } = await planBeside(patched);
  refuseSeen(await hashFiles((await Promise.all(options.data.map(listData))).flat()), seen);
  if (options.task === 'transcription')
    return { task: options.task, ...(await transcribe(original, patched, options)) };
  if (options.task === 'retrieval')
    return { task: options.task, ...(await measureRetrieval(original, patched, options)) };
  if (options.task === 'generation') {
    const { what, figures, ...generation } = await measureGeneration(original, patched, options);
    return { task: options.task, what, figures, generation };
  }
  const task: Task = tasks[options.task];
  const bytes = await readBytes(original);
  const { feeds, what } = await readCalibrationData(
    openModel(decode(bytes, original)),
    original,
    options.data,
    options,
  );
  if (feeds.length < task.least) {
    throw new PerformersError('PF501', `${options.task} needs at least ${task.least} inputs, got ${feeds.length}`, {
      at: '--data',
      mend: 'give more data',
    });
  }
  let done = 0;
  const run = async (path: string, what: string) => {
    const createSession = await nodeSessions(options.runtime ?? 'node', path);
    const session = await createSession(await readBytes(path));
    try {
      const outputs: TensorLike[] = [];
      for (const one of feeds) {
        outputs.push(firstOutput(await session.run(one), session.outputNames));
        options.onProgress?.({ done: ++done, total: 2 * feeds.length, what });
      }
      return outputs;
    } finally {
      await session.release();
    }
  };
  const [want, got] = [await run(original, 'original'), await run(patched, 'patched')];
  const runs = feeds.map((one: Feeds, i): TaskRun => ({ feeds: one, original: want[i], patched: got[i] }));
  const unlike = heldError === undefined ? undefined : unlikeCalibration(runs, heldError);
  return { task: options.task, what, figures: task.measure(runs), ...(unlike && { unlike }) };
}

/** Inputs of the same kind err by some tenths more or less. */
const unlikeFrom = 1.5;

function unlikeCalibration(runs: readonly TaskRun[], calibrated: number): TaskResult['unlike'] {
  const squares = runs.map(({ original, patched }) => compare(toNumbers(patched), toNumbers(original)).relRMS ** 2);
  const error = Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length);
  return error > unlikeFrom * calibrated ? { error, calibrated } : undefined;
}

/** @throws PerformersError PF501 when one of the files was calibrated on */
function refuseSeen(sources: readonly Source[], seen: readonly string[]): void {
  const overlap = sources.filter(({ sha256 }) => seen.includes(sha256));
  if (overlap.length > 0) {
    throw new PerformersError(
      'PF501',
      `the patched model was calibrated on ${overlap.map(({ file }) => file).join(', ')}`,
      {
        at: '--data',
        mend: 'verify on data that calibration has not seen',
      },
    );
  }
}

function firstOutput(outputs: Readonly<Record<string, TensorLike>>, names: readonly string[]): TensorLike {
  const output = outputs[names[0] ?? ''];
  if (!output) throw new TypeError('a model has an output');
  return output;
}

/** What the plan file beside a model says; nothing where there is none. */
async function planBeside(patched: string): Promise<PlanFile> {
  const path = `${patched.replace(/\.onnx$/, '')}.plan.json`;
  return existsSync(path) ? await readPlanFile(path) : {};
}
