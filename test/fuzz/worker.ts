/**
 * Runs cases one after another in a process of its own, whose heap is bounded, and says before each which one it is:
 * what kills or stops the process is then known to its parent. Case i of seed s is the case of seed s + i.
 */
import { bytesOf, caseOf, type Outcome, survive } from './case.js';

export interface Job {
  readonly seed: number;
  readonly cases: number;
  /** Every so manyth case, so that several processes share a run. */
  readonly step: number;
}
export type Message =
  | { readonly at: number }
  | { readonly failed: number; readonly error: string }
  | { readonly done: number; readonly outcomes: Partial<Record<Outcome, number>>; readonly peakMB: number };

const job: Job = JSON.parse(process.argv[2] ?? '');
const send = (message: Message) => process.send?.(message);
const outcomes: Partial<Record<Outcome, number>> = {};
let done = 0;
for (let seed = job.seed; done < job.cases; seed += job.step, done++) {
  send({ at: seed });
  try {
    const one = caseOf(seed);
    const outcome = await survive(bytesOf(one), one.plan);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  } catch (error) {
    send({ failed: seed, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}
send({ done, outcomes, peakMB: Math.round(process.resourceUsage().maxRSS / 1024) });
process.disconnect?.();
