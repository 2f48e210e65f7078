import type { Job } from './measurement.js';

/** What a measurement that is over took. */
export interface Taken {
  readonly px: number;
  readonly plan: string;
  /** Of one image. */
  readonly ms: number;
  /** Of the child process besides its timed runs. */
  readonly overheadMs: number;
}

export interface Budget {
  record(taken: Taken): void;
  /** Why a measurement is left out, if it is. */
  refuse(job: Pick<Job, 'px' | 'plan'>): string | undefined;
}

/** Time for writing the report. */
const reserveMs = 10_000;

/**
 * Leaves out what would not be over in time, judged by the same plan at smaller sizes; the first of a plan is always
 * run. Without the original nothing at its size can be judged, so nothing is run. `elapsed` counts from the start.
 */
export function makeBudget(minutes: number, elapsed: () => number): Budget {
  const taken: Taken[] = [];
  const refused = new Set<number>();
  return {
    record: (one) => taken.push(one),
    refuse({ px, plan }) {
      if (refused.has(px)) return 'the original was left out';
      const need = estimate(px, plan.text, taken);
      if (need === undefined || elapsed() + need + reserveMs <= minutes * 60_000) return undefined;
      if (!plan.options) refused.add(px);
      return `about ${(need / 1000).toFixed(0)} s, beyond the ${minutes} min of this run (--minutes)`;
    },
  };
}

/** From the plan's two largest sizes so far, as a power of the size: 2 is linear in tokens, 4 were attention alone. */
function estimate(px: number, plan: string, taken: readonly Taken[]): number | undefined {
  const own = taken.filter((one) => one.plan === plan && one.px < px).sort((a, b) => b.px - a.px);
  const [last, before] = own;
  if (!last) return undefined;
  const seen = before ? Math.log(last.ms / before.ms) / Math.log(last.px / before.px) : 3.3;
  const power = Math.min(3.3, Math.max(2, seen));
  return last.overheadMs + last.ms * (px / last.px) ** power;
}
