import { type CalibrationData, type DataOptions, readCalibrationData } from '../adapters/calibration-data.node.js';
import { type NodeRuntime, nodeSessions } from '../adapters/runtime.node.js';
import { type Calibrated, type CalibrateOptions, calibrate } from '../calibrate/calibrate.js';
import { decode } from '../onnx/decode.js';
import { openModel } from '../onnx/graph.js';
import type { SavedPlan } from '../rewrite/saved-plan.js';
import { calibrationKey, folderCheckpoint } from './checkpoint.js';
import { defaultData } from './default-data.js';

export interface CalibrateFileOptions extends CalibrateOptions, DataOptions {
  /** Text, images, sound or folders of them, JSON lines. Default: what is built in for the kind of model. */
  readonly data?: readonly string[];
  readonly runtime?: NodeRuntime;
  /** Folder in which measured layers are kept, for a run that goes on where this one was interrupted. */
  readonly keepIn?: string;
}

/** A plan with what it was made from, as it is written beside a model. */
export interface PlanFileContent extends SavedPlan {
  readonly calibration: Omit<Calibrated, 'plan'> &
    Pick<CalibrationData, 'kind' | 'what' | 'sources'> & { readonly builtIn?: true };
}

/** As many on every machine: how a product is divided decides how its sums are rounded, and so what may be chosen. */
const threads: Readonly<Record<NodeRuntime, number>> = { node: 2, wasm: 1 };
/** A thread that has nothing to do sleeps: between two runs this one calculates. */
const asleep = { extra: { session: { intra_op: { allow_spinning: '0' } } } };

/** Calibrates a model in a file on data in files. @throws PerformersError PF101–PF107, PF202 (blocks), PF301, PF302, PF501–PF504 */
export async function calibrateFile(
  bytes: Uint8Array,
  path: string,
  options: CalibrateFileOptions,
): Promise<PlanFileContent> {
  const model = openModel(decode(bytes, path));
  const data = options.data ?? [defaultData(model)];
  const { feeds, kind, what, sources } = await readCalibrationData(model, path, data, options);
  const runtime = options.runtime ?? 'node';
  const createSession = await nodeSessions(runtime, path, asleep, threads[runtime]);
  const key = calibrationKey(bytes, feeds, options.seed ?? 0);
  const checkpoint = options.keepIn === undefined ? undefined : folderCheckpoint(options.keepIn, key);
  const { plan, ...found } = await calibrate(bytes, feeds, createSession, { ...options, checkpoint });
  return { ...plan, calibration: { ...found, kind, what, sources, ...(!options.data && { builtIn: true }) } };
}
