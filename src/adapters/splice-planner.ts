/**
 * Whether a site is spliced, by what was measured on a device of the same class. A kernel between two sessions saves the traffic of [N,S] scores
 * and costs a cut: what that comes to is the device's, so that nothing is guessed where nobody has measured (measure-splice.ts).
 */
import { PerformersError } from '../errors.js';
import type { ChoosePlacement } from '../rewrite/place-kernels.js';
import { formatPlan, type SitePlan } from '../rewrite/plan.js';

export interface SpliceTable {
  readonly schema: 'performers.splice-table/1';
  /** `vendor architecture` of the adapter; software adapters are named so. */
  readonly device: string;
  /** What it was measured with: browser, onnxruntime, date. */
  readonly measuredWith: string;
  readonly rows: readonly SpliceRow[];
}

export interface SpliceRow {
  /** Name of the plan. */
  readonly plan: string;
  readonly heads: number;
  readonly headDim: number;
  readonly tokens: number;
  /** Median milliseconds of a layer of attention. */
  readonly inGraph: number;
  readonly spliced: number;
}

export interface Circumstances {
  readonly table?: SpliceTable;
  /** `vendor architecture` of the adapter at hand. */
  readonly device: string;
  /** How long inputs will be. */
  readonly tokens?: number;
}

/** @throws PerformersError PF202 for a table that is none */
export function planSplices({ table, device, tokens }: Circumstances): ChoosePlacement {
  if (table) checkTable(table);
  return (plan) => {
    const inGraph = (why: string) => ({ as: 'in-graph', why }) as const;
    if (!table || table.device !== device) return inGraph(`unmeasured on ${device}: measureSplice() makes a table`);
    if (tokens === undefined) return inGraph('it is not known how long inputs will be: give `tokens`');
    const rows = plan.groups.map((group) => nearestRow(table, plan, group.plan.name, tokens));
    const missing = plan.groups.find((_, i) => rows[i] === undefined);
    if (missing) return inGraph(`unmeasured on ${device} for the plan ${formatPlan(missing.plan)}`);
    const sum = (of: 'inGraph' | 'spliced') => rows.reduce((total, row) => total + (row?.[of] ?? 0), 0);
    const [graph, spliced] = [sum('inGraph'), sum('spliced')];
    const [row] = rows;
    const why = `measured on ${device} at ${row?.tokens} tokens, ${row?.heads} × ${row?.headDim}: ${spliced.toFixed(2)} ms spliced, ${graph.toFixed(2)} ms in the graph`;
    return spliced < graph ? { as: 'splice', why } : inGraph(why);
  };
}

/** The row of a plan whose work is nearest, as a ratio, to that of a site. */
function nearestRow({ rows }: SpliceTable, { site }: SitePlan, name: string, tokens: number): SpliceRow | undefined {
  const distance = (row: SpliceRow) =>
    Math.abs(Math.log(row.tokens / tokens)) +
    Math.abs(Math.log(row.heads / site.heads)) +
    Math.abs(Math.log(row.headDim / site.headDim));
  const own = rows.filter(({ plan }) => plan === name);
  return own.reduce<SpliceRow | undefined>(
    (best, row) => (best && distance(best) <= distance(row) ? best : row),
    undefined,
  );
}

function checkTable(table: SpliceTable): void {
  const positive = (value: unknown) => typeof value === 'number' && Number.isFinite(value) && value > 0;
  const rows = Array.isArray(table.rows) ? table.rows : undefined;
  const sound =
    table.schema === 'performers.splice-table/1' &&
    typeof table.device === 'string' &&
    rows?.every(
      ({ plan, heads, headDim, tokens, inGraph, spliced }) =>
        typeof plan === 'string' && [heads, headDim, tokens, inGraph, spliced].every(positive),
    );
  if (sound) return;
  throw new PerformersError('PF202', 'spliceTable is no table of measureSplice()', {
    at: 'spliceTable',
    mend: 'pass what measureSplice() returned on this device, as it is',
  });
}
