import { linearize } from './linearize.js';
import { compareOutputs, type OutputError } from './metrics.js';
import type { Feeds, Session, SessionFactory, TensorLike } from './session.js';

/** Inputs to compare two models on. */
export interface Case {
  readonly name: string;
  readonly feeds: Feeds;
}

/** What one case showed. Where a model did not run, there are no outputs to compare but its error. */
export interface CaseResult {
  readonly name: string;
  readonly outputs?: readonly OutputError[];
  /** What was thrown by opening or running that model. */
  readonly originalError?: unknown;
  readonly patchedError?: unknown;
}

export interface Verification {
  /** The worst case of every output. */
  readonly outputs: readonly OutputError[];
  readonly cases: readonly CaseResult[];
}

export type Progress = (progress: { readonly done: number; readonly total: number; readonly what: string }) => void;

/**
 * Runs a model and a rewritten one on the same inputs and compares all outputs. A model that fails is a result, not
 * an exception; what the original does not run on is not asked of the other.
 */
export async function verify(
  original: Uint8Array,
  patched: Uint8Array,
  cases: readonly Case[],
  createSession: SessionFactory,
): Promise<Verification> {
  return compareRuns(await runAll(original, cases, createSession), patched, cases, createSession);
}

/** Plans that leave the mathematics as it is: whatever they change, the surgery did. */
const identityPlans = ['exact', 'exact-blocked'] as const;

/**
 * Rewrites every site to exact attention again and compares with the original: the proof that finding and replacing
 * sites loses nothing, before any approximation comes in.
 */
export async function verifyIdentity(
  bytes: Uint8Array,
  cases: readonly Case[],
  createSession: SessionFactory,
  onProgress?: Progress,
): Promise<(Verification & { readonly plan: string })[]> {
  const total = cases.length * (identityPlans.length + 1);
  let done = 0;
  const advance = (what: string) => onProgress?.({ done: ++done, total, what });
  const wanted = await runAll(bytes, cases, createSession, (name) => advance(`original, ${name}`));
  const results: (Verification & { readonly plan: string })[] = [];
  for (const plan of identityPlans) {
    const rewritten = await linearize(bytes, { plan });
    const onRun = (name: string) => advance(`${plan}, ${name}`);
    results.push({ plan, ...(await compareRuns(wanted, rewritten.bytes, cases, createSession, onRun)) });
  }
  return results;
}

/**
 * How far a model is from itself by rounding alone: run in another way that onnxruntime holds for equal, and on floats
 * that differ in their last bit. No rewrite can be held to less.
 */
export async function ownRounding(
  bytes: Uint8Array,
  cases: readonly Case[],
  [createSession, createOther]: readonly [SessionFactory, SessionFactory],
): Promise<readonly OutputError[]> {
  const wanted = await runAll(bytes, cases, createSession);
  const nudged = cases.map(({ name, feeds }) => ({ name, feeds: lastBitsChanged(feeds) }));
  const ways = [
    await compareRuns(wanted, bytes, cases, createOther),
    await compareRuns(wanted, bytes, nudged, createSession),
  ];
  return worstErrors(ways.map(({ outputs }) => outputs));
}

/** Every other float32 a last bit larger, the others a last bit smaller. */
function lastBitsChanged(feeds: Feeds): Feeds {
  const changed = Object.entries(feeds).map(([name, tensor]): [string, TensorLike] => {
    const { data } = tensor;
    if (!(data instanceof Float32Array)) return [name, tensor];
    return [name, { ...tensor, data: data.map((x, i) => x * (1 + (i % 2 === 0 ? 1 : -1) * 2 ** -23)) }];
  });
  return Object.fromEntries(changed);
}

/** The worst of several comparisons, output by output. */
export function worstErrors(comparisons: readonly (readonly OutputError[])[]): OutputError[] {
  const worst = new Map<string, OutputError>();
  for (const { name, relRMS, maxAbs } of comparisons.flat()) {
    const before = worst.get(name);
    worst.set(name, {
      name,
      relRMS: Math.max(relRMS, before?.relRMS ?? 0),
      maxAbs: Math.max(maxAbs, before?.maxAbs ?? 0),
    });
  }
  return [...worst.values()];
}

type Run = { readonly outputs: Record<string, TensorLike> } | { readonly error: unknown };

async function compareRuns(
  wanted: readonly Run[],
  patched: Uint8Array,
  cases: readonly Case[],
  createSession: SessionFactory,
  onRun?: (name: string) => void,
): Promise<Verification> {
  const ran = cases.filter((_, i) => 'outputs' in wanted[i]);
  const got = new Map<Case, Run>();
  for (const [i, run] of (await runAll(patched, ran, createSession, onRun)).entries()) got.set(ran[i], run);
  const results = cases.map((item, i): CaseResult => {
    const { name } = item;
    const [want, have] = [wanted[i], got.get(item)];
    if ('error' in want || !have) return { name, originalError: 'error' in want ? want.error : undefined };
    if ('error' in have) return { name, patchedError: have.error };
    return { name, outputs: compareOutputs(have.outputs, want.outputs) };
  });
  return { outputs: worstErrors(results.map(({ outputs = [] }) => outputs)), cases: results };
}

/** One session for all cases; a new one after a failure, which may have taken the session with it. */
async function runAll(
  bytes: Uint8Array,
  cases: readonly Case[],
  createSession: SessionFactory,
  onRun?: (name: string) => void,
): Promise<Run[]> {
  const runs: Run[] = [];
  let session: Session | undefined;
  try {
    for (const { name, feeds } of cases) {
      try {
        session ??= await createSession(bytes);
        runs.push({ outputs: await session.run(feeds) });
      } catch (error) {
        runs.push({ error });
        await session?.release();
        session = undefined;
      }
      onRun?.(name);
    }
  } finally {
    await session?.release();
  }
  return runs;
}
