/** What a suite is, and the statistics its rows are made of. */
import { quantile } from '../src/bench/statistics.js';
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

export const median = (values: readonly number[]) => quantile(values, 0.5);
export function round(value: number | undefined): number | undefined {
  return value === undefined || Number.isNaN(value) ? undefined : Number(value.toPrecision(4));
}
