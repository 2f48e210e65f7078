import { compare, correlation } from '../src/index.js';
import { headErrors } from './heads.js';
import type { Map2D, Measurement } from './measurement.js';
import type { DemoPlan } from './plans.js';
import type { Outcome } from './run.js';
import { judge, type Verdict } from './verdict.js';

/** One line of the table: a plan at a size, against the original at that size. */
export interface Row {
  readonly px: number;
  readonly plan: DemoPlan;
  readonly verdict: Verdict;
  /** Why there are no figures. */
  readonly reason?: string;
  readonly figures?: Figures;
  readonly map?: Map2D;
  /** Relative output error by layer and head. */
  readonly heads?: readonly (readonly number[])[];
}

export interface Figures {
  /** Where the model shows it. */
  readonly tokens?: number;
  readonly ms: number;
  readonly runs: number;
  readonly cpuShare: number;
  readonly loadMs: number;
  readonly peakMB: number;
  /** What follows is against the original, where it ran. */
  readonly timeRatio?: number;
  readonly memoryRatio?: number;
  readonly correlation?: number;
  /** Relative RMS error of the map. */
  readonly error?: number;
  /** Mean over tokens of the cosine of last_hidden_state. */
  readonly tokenCosine?: number;
}

export function makeRow(px: number, plan: DemoPlan, outcome: Outcome, reference: Measurement | undefined): Row {
  if (!outcome.ran) return { px, plan, verdict: outcome.skipped ? 'skipped' : 'failed', reason: outcome.reason };
  const { measurement } = outcome;
  const { ms, runs, cpuShare, loadMs, peakMB, map, hidden } = measurement;
  const figures = { ms, runs, cpuShare, loadMs, peakMB, ...(hidden && { tokens: hidden.tokens }) };
  if (!plan.options) return { px, plan, verdict: 'as published', figures, map };
  if (!reference) return { px, plan, verdict: 'no original', figures, map };
  const likeness = {
    correlation: correlation(map.data, reference.map.data),
    error: compare(map.data, reference.map.data).relRMS,
  };
  return {
    px,
    plan,
    verdict: judge(likeness),
    figures: {
      ...figures,
      ...likeness,
      timeRatio: ms / reference.ms,
      memoryRatio: peakMB / reference.peakMB,
      ...(hidden && reference.hidden && { tokenCosine: meanCosine(hidden.data, reference.hidden.data, hidden.width) }),
    },
    map,
    ...(measurement.heads && reference.heads && { heads: headErrors(measurement.heads, reference.heads) }),
  };
}

/** Mean over rows of `width` elements of the cosine between a's and b's. */
function meanCosine(a: Float32Array, b: Float32Array, width: number): number {
  let sum = 0;
  for (let start = 0; start < a.length; start += width) {
    let [ab, aa, bb] = [0, 0, 0];
    for (let i = start; i < start + width; i++) {
      const [x, y] = [a[i] ?? Number.NaN, b[i] ?? Number.NaN];
      ab += x * y;
      aa += x * x;
      bb += y * y;
    }
    sum += ab / Math.sqrt(aa * bb);
  }
  return (sum * width) / a.length;
}

/** A remark where other programs held up the measurements; times are as good as the machine was quiet. */
export function disturbance(rows: readonly Row[]): string | undefined {
  const shares = rows.flatMap(({ figures }) => figures?.cpuShare ?? []);
  const lost = 1 - Math.min(...shares);
  if (shares.length === 0 || lost < 0.1) return undefined;
  const share = `${(lost * 100).toFixed(0)} %`;
  return `other programs held up measurements for up to ${share} of their time: take the times as rough`;
}
