/** What a suite is, and the statistics its rows are made of. */
import type { Job, JobResult } from './worker.js';

export interface Tools {
  readonly folder: string;
  measure(job: Job): Promise<JobResult>;
  print(line: string): void;
}
export interface Row {
  readonly [column: string]: string | number | undefined;
}
export interface Suite {
  readonly title: string;
  run(tools: Tools): Promise<Row[]>;
}

export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
export const median = (values: readonly number[]) => quantile(values, 0.5) ?? Number.NaN;
export function round(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Number(value.toPrecision(4));
}
