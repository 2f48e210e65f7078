import { PerformersError } from '../errors.js';
import type { LayerRule, PlanInput } from '../rewrite/plan.js';
import type { SavedPlan } from '../rewrite/saved-plan.js';
import { isRecord } from './input-file.js';
import { readBytes } from './model-folder.js';

export interface PlanFile {
  readonly plan?: PlanInput;
  readonly rules?: readonly LayerRule[];
  /** What calibration wrote, perhaps edited by hand. */
  readonly saved?: SavedPlan;
  /** SHA-256 of the files that it was calibrated on. */
  readonly sources?: readonly string[];
  /** Relative RMS error of the first output on the inputs that calibration held out. */
  readonly heldError?: number;
}

/**
 * A plan from a JSON file: `{ "plan": "window:window=128", "rules": [{ "layers": [0, 1], "plan": "exact" }] }`. A rule
 * with `heads` is for these alone.
 *
 * @throws PerformersError PF107 (unreadable), PF202 (not of this form)
 */
export async function readPlanFile(path: string): Promise<PlanFile> {
  const wrong = (what: string, cause?: unknown) =>
    new PerformersError('PF202', `${what} in the plan file`, {
      at: path,
      mend: 'write { "plan": "exact-blocked", "rules": [{ "layers": [0, 1], "plan": "window:window=128" }] }',
      cause,
    });
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(await readBytes(path)));
  } catch (cause) {
    throw cause instanceof PerformersError ? cause : wrong('no JSON', cause);
  }
  if (isRecord(json) && json.schema !== undefined) {
    if (isSavedPlan(json))
      return { saved: json, sources: sourcesOf(json.calibration), heldError: heldErrorOf(json.calibration) };
    throw wrong(`neither performers.plan/1 nor plan and rules`);
  }
  if (!isRecord(json) || !Object.keys(json).every((key) => key === 'plan' || key === 'rules')) {
    throw wrong('something other than plan and rules');
  }
  const { plan, rules } = json;
  if (plan !== undefined && !isPlan(plan)) throw wrong('a plan that is neither text nor an object with a name');
  if (rules !== undefined && !(Array.isArray(rules) && rules.every(isRule))) {
    throw wrong('a rule without layers and plan');
  }
  return { plan, rules };
}

function sourcesOf(calibration: unknown): string[] {
  const sources = isRecord(calibration) && Array.isArray(calibration.sources) ? calibration.sources : [];
  return sources.filter(isRecord).map(({ sha256 }) => String(sha256));
}

function heldErrorOf(calibration: unknown): number | undefined {
  const error = isRecord(calibration) && isRecord(calibration.error) ? calibration.error : {};
  const value = error.healed ?? error.chosen;
  return typeof value === 'number' ? value : undefined;
}

function isSavedPlan(value: Record<string, unknown>): value is Record<string, unknown> & SavedPlan {
  const { schema, sites } = value;
  return schema === 'performers.plan/1' && Array.isArray(sites) && sites.every(isSavedSite);
}

function isSavedSite(site: unknown): boolean {
  if (!isRecord(site) || !isIndex(site.layer) || typeof site.output !== 'string') return false;
  const { plans, constants = {}, corrections = [] } = site;
  const read = Array.isArray(plans) && plans.every((one) => isRecord(one) && isIndices(one.heads) && isPlan(one.plan));
  const texts = isRecord(constants) && Object.values(constants).every((text) => typeof text === 'string');
  return read && texts && Array.isArray(corrections) && corrections.every(isCorrection);
}

function isCorrection(value: unknown): boolean {
  if (!isRecord(value) || !isIndex(value.rank)) return false;
  return [value.product, value.down, value.up, value.bias].every((text) => typeof text === 'string');
}

function isPlan(value: unknown): value is PlanInput {
  return typeof value === 'string' || (isRecord(value) && typeof value.name === 'string');
}

function isRule(value: unknown): value is LayerRule {
  if (!isRecord(value) || !isPlan(value.plan)) return false;
  return (isIndices(value.layers) || isIndex(value.layers)) && (value.heads === undefined || isIndices(value.heads));
}

const isIndex = (value: unknown): value is number => Number.isInteger(value);

function isIndices(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isIndex);
}
