import { basename, join } from 'node:path';
import type { NodeRuntime } from '../adapters/runtime.node.js';
import { inspect } from '../linearize.js';
import type { OutputError } from '../metrics.js';
import { decode } from '../onnx/decode.js';
import { openModel } from '../onnx/graph.js';
import { type Case, ownRounding, type Progress, type Verification, verifyIdentity } from '../verify.js';
import type { CompareOptions } from './compare-files.js';
import { type ErrorRecord, recordError } from './error-record.js';
import { identityCases } from './identity-cases.js';
import { readInputFile } from './input-file.js';
import { findWeights, openPath, readBytes } from './model-folder.js';
import { processSessions } from './session-process.js';

export type IdentityOptions = Pick<CompareOptions, 'runtimes' | 'inputFile' | 'maxError' | 'onProgress'>;

export interface IdentityFile {
  readonly file: string;
  readonly runtime: NodeRuntime;
  /** Rewritten ones; those that only exact plans take are among them. */
  readonly sites: number;
  /** Bound on relRMS: 1e-5, for float16 models 2e-3, unless another was asked for or `rounding` raises it. */
  readonly maxError: number;
  /**
   * How far the original is from itself by rounding (verify.ts: ownRounding; relRMS), on the cases that go beyond the
   * bound: where 2 × this is more, it is the bound. Left out where nothing goes beyond, or a bound was asked for.
   */
  readonly rounding?: number;
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
  const usual = sites.some(({ operands }) => operands.elemType === 10) ? 2e-3 : 1e-5;
  const cases = inputFile === undefined ? identityCases(openModel(decode(bytes, file))) : [await caseFrom(inputFile)];
  // onnxruntime makes integer kernels of QDQ graphs, and others within a Scan: those are compared as written.
  const asWritten = sites.some(({ operands }) => operands.rounding);
  const files: IdentityFile[] = [];
  for (const runtime of runtimes) {
    const onStep: Progress = ({ done, total, what }) =>
      onProgress?.({ done, total, what: `${basename(file)}, ${what}` });
    const [sessions, others] = [asWritten, true].map((written) =>
      processSessions(runtime, file, { asWritten: written, limitMs }),
    );
    const plans = sites.length > 0 ? await verifyIdentity(bytes, cases, sessions, onStep) : [];
    const beyond = options.maxError === undefined && !asWritten ? casesBeyond(cases, plans, usual) : [];
    const rounding = beyond.length > 0 ? worst(await ownRounding(bytes, beyond, [sessions, others])) : undefined;
    const maxError = options.maxError ?? Math.max(usual, 2 * (rounding ?? 0));
    const holds = plans.every((plan) => keeps(plan, maxError));
    files.push({
      file,
      runtime,
      sites: sites.length,
      maxError,
      ...(rounding !== undefined && { rounding }),
      asWritten,
      plans: plans.map(toRecord),
      holds,
    });
  }
  return files;
}

const worst = (outputs: readonly OutputError[]) => Math.max(0, ...outputs.map(({ relRMS }) => relRMS));

/** Those that some plan is further off on than `bound`. */
function casesBeyond(cases: readonly Case[], plans: readonly Verification[], bound: number): Case[] {
  return cases.filter((_, i) => plans.some((plan) => worst(plan.cases[i]?.outputs ?? []) > bound));
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

async function caseFrom(inputFile: string): Promise<Case> {
  return { name: inputFile, feeds: await readInputFile(inputFile) };
}
