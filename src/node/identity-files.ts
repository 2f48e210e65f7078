import { basename, join } from 'node:path';
import type { NodeRuntime } from '../adapters/runtime.node.js';
import { inspect } from '../linearize.js';
import type { OutputError } from '../metrics.js';
import { decode } from '../onnx/decode.js';
import { type Model, openModel } from '../onnx/graph.js';
import type { Feeds } from '../session.js';
import { type Case, type Progress, type Verification, verifyIdentity } from '../verify.js';
import type { CompareOptions } from './compare-files.js';
import { type ErrorRecord, recordError } from './error-record.js';
import { readInputFile } from './input-file.js';
import { isCache, isMask } from './input-sizes.js';
import { generateInputs, type InputOptions } from './inputs.js';
import { findWeights, openPath, readBytes } from './model-folder.js';
import { processSessions } from './session-process.js';

export type IdentityOptions = Pick<CompareOptions, 'runtimes' | 'inputFile' | 'maxError' | 'onProgress'>;

export interface IdentityFile {
  readonly file: string;
  readonly runtime: NodeRuntime;
  /** Rewritten ones; those that only exact plans take are among them. */
  readonly sites: number;
  /** Bound on relRMS: 1e-5, for float16 models 2e-3, unless another was asked for. */
  readonly maxError: number;
  /** The sessions ran without graph optimisations: so for models whose scores are quantised (QDQ). */
  readonly asWritten: boolean;
  readonly plans: readonly IdentityPlan[];
  /** Whether every plan keeps the bound on every case that the original runs on, and there is one. */
  readonly holds: boolean;
}

export interface IdentityPlan {
  readonly plan: string;
  readonly outputs: readonly OutputError[];
  readonly cases: readonly {
    readonly name: string;
    readonly outputs?: readonly OutputError[];
    readonly originalError?: ErrorRecord;
    readonly patchedError?: ErrorRecord;
  }[];
}

/** For opening a model, and for each run: what takes longer is a case that the model does not run on. */
const limitMs = 120_000;

/** One token, less and more than a block of queries, padding on either side; long ones alone and as a batch. */
const plainCases: readonly InputOptions[] = [
  { tokens: 1 },
  { tokens: 2 },
  { tokens: 17 },
  { tokens: 13, batch: 3 },
  { tokens: 13, batch: 3, padding: 'left' },
  { tokens: 301 },
  { tokens: 301, batch: 2 },
];

/** The next token, a batch of them with padding on either side, several tokens at once. */
const cachedCases: readonly InputOptions[] = [
  { tokens: 1, past: 1 },
  { tokens: 1, past: 16 },
  { tokens: 1, past: 16, batch: 3 },
  { tokens: 1, past: 16, batch: 3, padding: 'left' },
  { tokens: 17, past: 5 },
  { tokens: 2, past: 300, batch: 2, padding: 'left' },
];

/** Rewrites every site of every model to exact attention and compares. @throws PerformersError PF101–PF107, PF204 */
export async function verifyIdentityFiles(
  paths: readonly string[],
  options: IdentityOptions = {},
): Promise<IdentityFile[]> {
  const files: IdentityFile[] = [];
  for (const given of paths) {
    const { root, models } = await openPath(given);
    for (const model of models) files.push(...(await verifyModel(join(root, model), options)));
  }
  return files;
}

async function verifyModel(file: string, options: IdentityOptions): Promise<IdentityFile[]> {
  const { runtimes = ['node'], inputFile, onProgress } = options;
  const bytes = await readBytes(file);
  await findWeights(bytes, file);
  const found = inspect(bytes, { file });
  // Exact plans take refused sites, too, where these are softmax attention with some other bias.
  const sites = [...found.sites, ...found.refusals.flatMap(({ site }) => site ?? [])];
  const maxError = options.maxError ?? (sites.some(({ operands }) => operands.elemType === 10) ? 2e-3 : 1e-5);
  const cases = inputFile === undefined ? casesFor(openModel(decode(bytes, file))) : [await caseFrom(inputFile)];
  // onnxruntime makes integer kernels of QDQ graphs, and others within a Scan: those are compared as written.
  const asWritten = sites.some(({ operands }) => operands.rounding);
  const files: IdentityFile[] = [];
  for (const runtime of runtimes) {
    const onStep: Progress = ({ done, total, what }) =>
      onProgress?.({ done, total, what: `${basename(file)}, ${what}` });
    const plans =
      sites.length > 0
        ? await verifyIdentity(bytes, cases, processSessions(runtime, file, { asWritten, limitMs }), onStep)
        : [];
    const holds = plans.every((plan) => keeps(plan, maxError));
    files.push({ file, runtime, sites: sites.length, maxError, asWritten, plans: plans.map(toRecord), holds });
  }
  return files;
}

function keeps({ outputs, cases }: Verification, maxError: number): boolean {
  const compared = cases.some((entry) => entry.outputs);
  const lost = cases.some(({ patchedError }) => patchedError !== undefined);
  return compared && !lost && outputs.every(({ relRMS }) => relRMS <= maxError);
}

function toRecord({ plan, outputs, cases }: Verification & { readonly plan: string }): IdentityPlan {
  const records = cases.map(({ name, outputs, originalError, patchedError }) => ({
    name,
    ...(outputs && { outputs }),
    ...(originalError !== undefined && { originalError: recordError(originalError) }),
    ...(patchedError !== undefined && { patchedError: recordError(patchedError) }),
  }));
  return { plan, outputs, cases: records };
}

/** A model of fixed size has fewer cases than there are lengths; one without a cache has none with a past. */
function casesFor(model: Model): Case[] {
  const cases = new Map<string, Case>();
  for (const options of [...plainCases, ...cachedCases]) {
    const { feeds, tokens, past, batch, padding } = generateInputs(model, options);
    if (past !== (options.past ?? 0)) continue;
    const parts = [
      `N = ${tokens}`,
      past > 0 && `past ${past}`,
      batch > 1 && `batch ${batch}`,
      padding && `padded ${padding}`,
    ];
    const digest = JSON.stringify(Object.values(feeds).map(({ dims }) => dims)) + fingerprint(feeds);
    if (!cases.has(digest)) cases.set(digest, { name: parts.filter((part) => part).join(', '), feeds });
  }
  return [...cases.values()];
}

/** Masks and flags tell cases of equal sizes apart. */
function fingerprint(feeds: Feeds): string {
  return Object.entries(feeds)
    .filter(([name]) => isMask(name) || isCache(name))
    .map(([, { type, data }]) => (type.startsWith('float') ? '' : Array.from<number | bigint | string>(data).join('')))
    .join();
}

async function caseFrom(inputFile: string): Promise<Case> {
  return { name: inputFile, feeds: await readInputFile(inputFile) };
}
