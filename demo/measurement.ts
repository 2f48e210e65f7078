import type { DemoPlan } from './plans.js';

export type Runtime = 'wasm' | 'node';

/** What one child process is asked: one plan at one size. */
export interface Job {
  /** Absolute path of a model folder as transformers.js has it. */
  readonly model: string;
  readonly image: string;
  /** The photo is resized to a square of this many pixels a side. */
  readonly px: number;
  readonly plan: DemoPlan;
  readonly runtime: Runtime;
  /** Record the output of every attention head as well, in a second run that is not timed. */
  readonly heads: boolean;
}

export interface Measurement {
  /** Median time of one call of the pipeline, photo to map. */
  readonly ms: number;
  readonly runs: number;
  /** Share of the time of the runs that the process had a processor; below 1 where others wanted it too. */
  readonly cpuShare: number;
  readonly loadMs: number;
  /** Largest resident memory of the process until the timed runs were over. */
  readonly peakMB: number;
  readonly map: Map2D;
  readonly hidden?: { readonly data: Float32Array; readonly tokens: number; readonly width: number };
  /** By layer, then head: its context [N,E], row-major. */
  readonly heads?: readonly (readonly Float32Array[])[];
}

/** An image of one channel, row-major. */
export interface Map2D {
  readonly data: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** What a child tells its parent. */
export type ChildMessage =
  | { readonly kind: 'phase'; readonly phase: string }
  | { readonly kind: 'done'; readonly measurement: Measurement }
  | { readonly kind: 'failed'; readonly reason: string };
