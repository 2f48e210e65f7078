import { createReadStream } from 'node:fs';
import { access, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { type NodeRuntime, nodeSessions } from '../adapters/runtime.node.js';
import { PerformersError } from '../errors.js';
import { type LinearizeOptions, linearizeChunks, type Report } from '../linearize.js';
import { decode } from '../onnx/decode.js';
import { openModel } from '../onnx/graph.js';
import { loaded } from '../onnx/lazy-bytes.js';
import type { SavedPlan } from '../rewrite/saved-plan.js';
import { checkTarget, reportName, writeChunks, writeFilesAtomic, writeFolderAtomic } from './atomic-write.js';
import { type CalibrateFileOptions, calibrateFile, type PlanFileContent } from './calibrate-file.js';
import { removeCheckpoint } from './checkpoint.js';
import { readInputFile } from './input-file.js';
import { generateInputs } from './inputs.js';
import { onDisk, openModelBytes } from './model-bytes.js';
import { findWeights, isInside, type ModelPath, openPath, type Weights } from './model-folder.js';

export interface LinearizeFilesOptions extends Pick<LinearizeOptions, 'plan' | 'rules' | 'maxError' | 'onProgress'> {
  /** Measure on inputs from this file, or on generated ones of this many tokens; `auto` needs one, and takes 128. */
  readonly inputFile?: string;
  readonly sampleLength?: number;
  /** Default 'node'. */
  readonly runtime?: NodeRuntime;
  /** Calibrate on this data: every head gets a plan of its own (one model at a time). */
  readonly calibration?: Omit<CalibrateFileOptions, 'runtime' | 'onProgress' | 'keepIn'>;
  /** Plans of an earlier calibration. */
  readonly saved?: SavedPlan;
  readonly force?: boolean;
  /** Where the report goes. Default: beside the output file; inside the output folder. */
  readonly reportFile?: string;
}

export interface LinearizedFiles {
  readonly output: string;
  readonly reportFile: string;
  readonly reports: readonly Report[];
  /** What calibration chose, and the file that holds it. */
  readonly plan?: { readonly file: string; readonly content: PlanFileContent };
  /** Models that were copied as they are, and why. */
  readonly copied: readonly { readonly file: string; readonly reason: string }[];
}

/** The reports of a folder, one a model. */
export interface FolderReport {
  readonly schema: 'performers.reports/1';
  readonly files: readonly Report[];
}

/**
 * Linearizes a model file, or every model of a folder into a folder of the same layout. Nothing is seen at `output`
 * before it is complete; the originals are only read.
 *
 * @throws PerformersError PF101–PF108, PF201–PF204, PF301, PF302
 */
export async function linearizeFiles(
  input: string,
  output: string,
  options: LinearizeFilesOptions = {},
): Promise<LinearizedFiles> {
  const source = await openPath(input);
  await checkApart(source, output);
  return source.kind === 'file' ? linearizeFile(source, output, options) : linearizeFolder(source, output, options);
}

async function linearizeFile(
  { root, models: [model = ''] }: ModelPath,
  output: string,
  options: LinearizeFilesOptions,
): Promise<LinearizedFiles> {
  if (!output.endsWith('.onnx')) {
    throw new PerformersError('PF202', `the output of one model must end in .onnx, got '${output}'`, {
      at: '-o',
      mend: 'name a file; a folder comes out where a folder goes in',
    });
  }
  const reportFile = options.reportFile ?? `${output.slice(0, -'.onnx'.length)}.performers.json`;
  const path = join(root, model);
  for (const target of [output, reportFile]) await checkTarget(target, 'file', options);
  const planFile = `${output.slice(0, -'.onnx'.length)}.plan.json`;
  const keepIn = `${output.slice(0, -'.onnx'.length)}.calibration`;
  if (options.calibration) await checkTarget(planFile, 'file', options);
  const source = openModelBytes(path);
  try {
    const weights = await findWeights(source.bytes, path);
    const moves = await weightsToCopy(weights, dirname(resolve(output)));
    for (const { to } of moves) await checkTarget(to, 'file', options);
    const { calibration, runtime, onProgress } = options;
    const content =
      calibration && (await calibrateFile(loaded(source.bytes), path, { ...calibration, keepIn, runtime, onProgress }));
    const { chunks, report } = await linearizeModel(source.bytes, path, model, {
      ...options,
      ...(content && { saved: content }),
    });
    const files = [
      { path: output, chunks: onDisk(source, chunks) },
      { path: reportFile, chunks: jsonChunks(report) },
      ...(content ? [{ path: planFile, chunks: jsonChunks(content) }] : []),
      ...moves.map(({ from, to }) => ({ path: to, chunks: createReadStream(from) })),
    ];
    await writeFilesAtomic(files, options);
    if (calibration) await removeCheckpoint(keepIn);
    return { output, reportFile, reports: [report], copied: [], ...(content && { plan: { file: planFile, content } }) };
  } finally {
    source.close();
  }
}

async function linearizeFolder(
  source: ModelPath,
  output: string,
  options: LinearizeFilesOptions,
): Promise<LinearizedFiles> {
  await checkTarget(output, 'folder', options);
  if (options.inputFile !== undefined && source.models.length > 1) {
    throw new PerformersError('PF202', `one input file cannot fit the ${source.models.length} models of this folder`, {
      at: '--input',
      mend: 'linearize its models one by one, or measure on generated inputs: --sample-length 128',
    });
  }
  if (options.calibration || options.saved) {
    throw new PerformersError('PF202', 'calibration, and the plan it makes, are for one model', {
      at: source.root,
      mend: `name one of its files: ${source.models.join(', ')}`,
    });
  }
  if (options.reportFile !== undefined) await checkTarget(options.reportFile, 'file', options);
  const weightsOf = await weightsByModel(source);
  const reports: Report[] = [];
  const copied: { file: string; reason: string }[] = [];
  const fill = async (folder: string) => {
    for (const model of source.models) {
      const path = join(source.root, model);
      const reader = source.models.find((other) => weightsOf.get(other)?.has(path));
      if (reader) {
        copied.push({ file: model, reason: `${reader} reads its weights from this file, by position` });
        await writeChunks(join(folder, model), createReadStream(path));
        continue;
      }
      const bytes = openModelBytes(path);
      try {
        const { chunks, report } = await linearizeModel(bytes.bytes, path, model, options);
        if (report.sites.length > 0) reports.push(report);
        else copied.push({ file: model, reason: 'no attention that could be rewritten' });
        await writeChunks(
          join(folder, model),
          report.sites.length > 0 ? onDisk(bytes, chunks) : createReadStream(path),
        );
      } finally {
        bytes.close();
      }
    }
    for (const other of source.others) {
      if (other !== reportName) await writeChunks(join(folder, other), createReadStream(join(source.root, other)));
    }
    const all: FolderReport = { schema: 'performers.reports/1', files: reports };
    await writeChunks(join(folder, reportName), jsonChunks(all));
    if (options.reportFile !== undefined)
      await writeFilesAtomic([{ path: options.reportFile, chunks: jsonChunks(all) }], options);
  };
  await writeFolderAtomic(output, fill, options);
  return { output, reportFile: options.reportFile ?? join(output, reportName), reports, copied };
}

/** Reads every model of a folder once, before anything is computed: broken files and missing weights show here. */
async function weightsByModel({ root, models }: ModelPath): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  for (const model of models) {
    const path = join(root, model);
    const { bytes, close } = openModelBytes(path);
    try {
      found.set(model, new Set((await findWeights(bytes, path)).map((entry) => entry.path)));
    } finally {
      close();
    }
  }
  return found;
}

async function linearizeModel(bytes: Uint8Array, path: string, file: string, options: LinearizeFilesOptions) {
  const {
    saved,
    plan = 'exact-blocked',
    rules,
    maxError,
    onProgress,
    inputFile,
    sampleLength,
    runtime = 'node',
  } = options;
  if (saved) return linearizeChunks(bytes, { saved, file });
  const measured = plan === 'auto' || inputFile !== undefined || sampleLength !== undefined;
  if (!measured) return linearizeChunks(bytes, { plan, rules, file });
  const sample =
    inputFile === undefined
      ? generateInputs(openModel(decode(bytes, file)), { tokens: sampleLength ?? 128 }).feeds
      : await readInputFile(inputFile);
  const createSession = await nodeSessions(runtime, path);
  // The runtime is given the original as it is: all of it.
  return linearizeChunks(loaded(bytes), { plan, rules, maxError, onProgress, sample, createSession, file });
}

/** External weights that the output needs beside it and has not yet. */
async function weightsToCopy(weights: readonly Weights[], folder: string): Promise<{ from: string; to: string }[]> {
  const moves = weights.map(({ location, path }) => ({ from: path, to: resolve(folder, location) }));
  const same = await Promise.all(
    moves.map(async ({ from, to }) => (await exists(to)) && (await realpath(from)) === (await realpath(to))),
  );
  return moves.filter((_, i) => !same[i]);
}

/** @throws PerformersError PF108 when writing `output` would change what is read */
async function checkApart({ kind, root, models }: ModelPath, output: string): Promise<void> {
  const target = await resolveLinks(resolve(output));
  const source = await realpath(kind === 'file' ? join(root, models[0] ?? '') : root);
  const overlap = target === source || (kind === 'folder' && (isInside(source, target) || isInside(target, source)));
  if (!overlap) return;
  throw new PerformersError('PF108', `${basename(output)} overlaps with the original, which is never changed`, {
    at: output,
    mend: 'choose an output beside it',
  });
}

/** realpath of what may not exist yet. */
async function resolveLinks(path: string): Promise<string> {
  if ((await exists(path)) || dirname(path) === path) return realpath(path);
  return join(await resolveLinks(dirname(path)), basename(path));
}

/** Indented, lists of numbers on one line: people read and edit plans. */
function jsonChunks(value: unknown): Uint8Array[] {
  const text = JSON.stringify(value, null, 1).replace(/\[[\d\s,.eE+-]*\]/g, (list) => list.replace(/\s+/g, ' '));
  return [new TextEncoder().encode(`${text}\n`)];
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
