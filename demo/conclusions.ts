import { likeness, memory, time } from './format.js';
import type { Row } from './row.js';
import type { Verdict } from './verdict.js';

/** What became of one plan over all sizes, in a sentence. */
export interface Conclusion {
  readonly plan: Row['plan'];
  /** The worst it was found to be. */
  readonly verdict: Verdict;
  /** Its row at the largest size where it ran beside the original, or where the original failed if there is none. */
  readonly row: Row;
  readonly text: string;
}

const worstFirst: readonly Verdict[] = ['another model', 'close', 'same answer'];

/** One conclusion a plan, from the rows alone; plans that never ran where the original was tried have none. */
export function conclusions(rows: readonly Row[]): Conclusion[] {
  const plans = [...new Set(rows.map(({ plan }) => plan))];
  return plans.flatMap((plan): Conclusion[] => {
    const own = rows.filter((row) => row.plan === plan);
    const compared = own.filter(({ verdict }) => worstFirst.includes(verdict));
    const beyond = own.filter((row) => row.verdict === 'no original' && originalOf(row, rows)?.verdict === 'failed');
    const row = compared.at(-1) ?? beyond.at(-1);
    if (!row) return [];
    const verdict = worstFirst.find((one) => compared.some((other) => other.verdict === one)) ?? 'no original';
    const parts = [compared.length > 0 && sentence(row, verdict, compared, rows), beyond.length > 0 && further(beyond)];
    return [{ plan, verdict, row, text: parts.filter(Boolean).join('; ') }];
  });
}

function originalOf({ px }: Row, rows: readonly Row[]): Row | undefined {
  return rows.find((row) => row.px === px && !row.plan.options);
}

/** What a plan does where the original cannot run. */
function further(beyond: readonly Row[]): string {
  const sizes = beyond.map(({ px, figures }) => `${px} px in ${time(figures?.ms)} and ${memory(figures?.peakMB)} MB`);
  return `runs where the original fails: ${sizes.join(', ')}`;
}

function sentence(row: Row, worst: Verdict, compared: readonly Row[], rows: readonly Row[]): string {
  const reference = originalOf(row, rows)?.figures;
  const { figures } = row;
  if (!figures || !reference) return worst;
  const mb = `${memory(figures.peakMB)} for ${memory(reference.peakMB)} MB`;
  const cost = `${time(figures.ms)} for ${time(reference.ms)} and ${mb} at ${row.px} px`;
  const similar = `correlation of the maps ${likeness(figures.correlation)}`;
  switch (worst) {
    case 'same answer':
      return `the same answer; ${cost}`;
    case 'close':
      return `close; ${cost}, ${similar}`;
    default: {
      const held = compared.filter(({ verdict }) => verdict !== 'another model');
      const until = held.length > 0 ? ` (holds at ${held.map(({ px }) => px).join(', ')} px only)` : '';
      return `another model${until}; ${cost}, ${similar}`;
    }
  }
}
