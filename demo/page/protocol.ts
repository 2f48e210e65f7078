/** What the page and its worker say to each other. */
import type { SavedPlan, SiteReport } from '../../src/index.js';
import type { ErrorRecord } from '../../src/node/error-record.js';
import type { TaskName } from './tasks.js';

export type ModelSource =
  | { readonly kind: 'shipped'; readonly name: string }
  | {
      readonly kind: 'files';
      readonly name: string;
      readonly files: readonly { readonly path: string; readonly blob: Blob }[];
    }
  | { readonly kind: 'hub'; readonly id: string };

export type DeviceName = 'wasm' | 'webgpu';

/** Bits of a calibrated plan's codebooks and frequencies; 32 leaves them as they are. */
export type PlanChoice = { readonly plan: string } | { readonly saved: SavedPlan; readonly bits: number };

export type Input =
  | { readonly kind: 'image'; readonly image: Blob; readonly px: number }
  | { readonly kind: 'text'; readonly text: string; readonly newTokens: number }
  | { readonly kind: 'random'; readonly tokens: number };

export type Ask =
  | { readonly op: 'open'; readonly source: ModelSource; readonly modelsUrl: string }
  | { readonly op: 'run'; readonly choice: PlanChoice; readonly input: Input; readonly device: DeviceName }
  | { readonly op: 'calibrate'; readonly plan: string; readonly px: number };

export interface Opened {
  readonly name: string;
  /** Undefined for a model without a configuration: random inputs are all there is to run it on. */
  readonly task?: TaskName;
  readonly megabytes: number;
  /** One a site, in graph order. */
  readonly layers: readonly Omit<SiteReport, 'plans' | 'why' | 'cache'>[];
  /** Attention that is left alone, with the reason. */
  readonly left: readonly { readonly node: string; readonly reason: string }[];
  /** The plan it ships with. */
  readonly saved?: SavedPlan;
  readonly samples: readonly string[];
  readonly note?: string;
}

/** What a model says, as it is shown. */
export type Answer =
  | { readonly kind: 'map'; readonly data: Float32Array; readonly width: number; readonly height: number }
  | { readonly kind: 'labels'; readonly items: readonly { readonly label: string; readonly score: number }[] }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'numbers'; readonly what: string; readonly head: readonly number[] };

export interface Ran {
  readonly answer: Answer;
  /** Median of the runs after one that is not counted. */
  readonly ms: number;
  readonly runs: number;
}

export interface HeadView {
  readonly plan: string;
  readonly linear: boolean;
  readonly why: string;
  /** Relative RMS error of what the head hands on. */
  readonly error?: number;
}

export interface RunResult {
  readonly original: Ran;
  readonly patched: Ran;
  /** Relative RMS error of `what`, and Pearson's correlation with the original's. */
  readonly error: { readonly what: string; readonly relRMS: number; readonly correlation: number };
  /** [layer][head] */
  readonly heads: readonly (readonly HeadView[])[];
  /** Why errors of heads are missing, where they are. */
  readonly headsMissing?: string;
}

export type Reply =
  | { readonly kind: 'phase'; readonly what: string; readonly done?: number; readonly total?: number }
  | { readonly kind: 'value'; readonly value: Opened | RunResult | SavedPlan }
  | { readonly kind: 'error'; readonly error: ErrorRecord };
