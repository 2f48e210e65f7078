import { join } from 'node:path';
import type { NodeRuntime } from '../adapters/runtime.node.js';
import { PerformersError } from '../errors.js';
import { compareOutputs, type OutputError } from '../metrics.js';
import { decode } from '../onnx/decode.js';
import { openModel } from '../onnx/graph.js';
import type { Feeds } from '../session.js';
import { type Progress, worstErrors } from '../verify.js';
import type { ErrorRecord } from './error-record.js';
import { readInputFile } from './input-file.js';
import { generateInputs } from './inputs.js';
import { type Measurement, measure } from './measure.js';
import { findWeights, openPath, readBytes } from './model-folder.js';

export interface CompareOptions {
  readonly inputFile?: string;
  /** Default 128, 512. */
  readonly lengths?: readonly number[];
  /** With 2 or more, all rows but the first are padded. Default 1. */
  readonly batch?: number;
  /** Default node. */
  readonly runtimes?: readonly NodeRuntime[];
  /** Largest relRMS of any output that still holds. Default 1e-3. */
  readonly maxError?: number;
  readonly onProgress?: Progress;
}

/** Time and memory of one model at one size, or why there is none. */
export type RunFigures = { readonly ms: number; readonly peakMB: number } | { readonly error: ErrorRecord };

export interface ComparedRun {
  /** Tokens, as near to the length asked for as the model lets them be. */
  readonly n: number;
  readonly runtime: NodeRuntime;
  readonly original: RunFigures;
  readonly patched: RunFigures;
}

export interface ComparedFile {
  readonly file: string;
  /** Worst over all runs. */
  readonly outputs: readonly OutputError[];
  readonly runs: readonly ComparedRun[];
  /** Whether all outputs are within `maxError`, and the patched model runs wherever the original does. */
  readonly holds: boolean;
}

/**
 * Runs an original and a patched model, or those of two folders that have the same name, every run in a process of
 * its own.
 *
 * @throws PerformersError PF101–PF107, PF202, PF204; a run that fails is a row
 */
export async function compareFiles(
  original: string,
  patched: string,
  options: CompareOptions = {},
): Promise<ComparedFile[]> {
  const { runtimes = ['node'], maxError = 1e-3, onProgress } = options;
  const pairs = await pairModels(original, patched);
  const work = [];
  for (const pair of pairs) work.push({ ...pair, samples: await samplesFor(pair.original, options) });
  const total = 2 * runtimes.length * work.reduce((sum, { samples }) => sum + samples.length, 0);
  let done = 0;
  const run = async (path: string, { n, feeds }: Sample, runtime: NodeRuntime, what: string) => {
    const result = await measure(path, feeds, { runtime });
    onProgress?.({ done: ++done, total, what: `${what}, ${n} tokens` });
    return result;
  };
  const files: ComparedFile[] = [];
  for (const { file, original, patched, samples } of work) {
    const runs: ComparedRun[] = [];
    const errors: OutputError[][] = [];
    for (const runtime of runtimes) {
      for (const sample of samples) {
        const want = await run(original, sample, runtime, 'original');
        const got = await run(patched, sample, runtime, 'patched');
        runs.push({ n: sample.n, runtime, original: figures(want), patched: figures(got) });
        if ('outputs' in want && 'outputs' in got) errors.push(compareOutputs(got.outputs, want.outputs));
      }
    }
    const outputs = worstErrors(errors);
    const lost = runs.some((row) => !('error' in row.original) && 'error' in row.patched);
    const holds = errors.length > 0 && !lost && outputs.every(({ relRMS }) => relRMS <= maxError);
    files.push({ file, outputs, runs, holds });
  }
  return files;
}

function figures(measured: Measurement): RunFigures {
  return 'error' in measured ? measured : { ms: measured.ms, peakMB: measured.peakMB };
}

interface Sample {
  readonly n: number;
  readonly feeds: Feeds;
}

async function samplesFor(
  path: string,
  { inputFile, lengths = [128, 512], batch = 1 }: CompareOptions,
): Promise<Sample[]> {
  const bytes = await readBytes(path);
  await findWeights(bytes, path);
  if (inputFile !== undefined) {
    const feeds = await readInputFile(inputFile);
    return [{ n: Math.max(...Object.values(feeds).map(({ dims }) => dims[1] ?? 1)), feeds }];
  }
  const model = openModel(decode(bytes, path));
  const samples = new Map<string, Sample>();
  for (const tokens of lengths) {
    const { feeds, tokens: n } = generateInputs(model, { tokens, batch });
    // A model of fixed size has one length, whatever is asked for.
    samples.set(JSON.stringify(Object.values(feeds).map(({ dims }) => dims)), { n, feeds });
  }
  return [...samples.values()];
}

async function pairModels(
  original: string,
  patched: string,
): Promise<{ file: string; original: string; patched: string }[]> {
  const [a, b] = [await openPath(original), await openPath(patched)];
  if (a.kind !== b.kind) {
    throw new PerformersError('PF202', `the original is a ${a.kind}, the patched model a ${b.kind}`, {
      at: patched,
      mend: 'compare a file with a file, or a folder with a folder',
    });
  }
  const [first = ''] = b.models;
  const pairs = a.models
    .filter((model) => a.kind === 'file' || b.models.includes(model))
    .map((file) => ({ file, original: join(a.root, file), patched: join(b.root, a.kind === 'file' ? first : file) }));
  if (pairs.length > 0) return pairs;
  throw new PerformersError('PF106', 'the two folders have no model of the same name', {
    at: patched,
    mend: 'pass the folder that performers linearize wrote',
  });
}
