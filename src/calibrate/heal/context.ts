import type { Model } from '../../onnx/graph.js';
import type { SitePlan } from '../../rewrite/plan.js';
import type { Feeds, SessionFactory } from '../../session.js';
import type { SiteSurvey } from '../survey.js';
import type { Checkpoint } from '../survey-model.js';

/** What a way to heal reads. */
export interface HealContext {
  readonly model: Model;
  readonly surveys: readonly SiteSurvey[];
  /** Inputs that healing is fitted on; the others decide whether it is kept. */
  readonly inputs: readonly Feeds[];
  readonly createSession: SessionFactory;
  readonly onStep: (what: string) => void;
  readonly training?: TrainingOptions;
  readonly checkpoint?: Checkpoint;
}

export const trainingDefaults = { steps: 100, rank: 8, rate: 1e-3, seed: 0 };

/** Of the ways to heal that train. */
export interface TrainingOptions {
  /** Default 100, one input each; of transfer as many a layer. */
  readonly steps?: number;
  /** Of a correction. Default 8. */
  readonly rank?: number;
  /** Default 1e-3, and .03 of transfer, whose parameters are of unit size. */
  readonly rate?: number;
  /** Of the first factors, and of what transfer looks at. Default 0. */
  readonly seed?: number;
}

export interface Healed {
  readonly plans: readonly SitePlan[];
  /** What was left alone, and why. */
  readonly left?: readonly string[];
  /** Heals once more, on the inputs given now too, with what is known of the first ones. Absent: they are healed on as the first were. */
  readonly more?: (plans: readonly SitePlan[], context: HealContext) => Promise<Healed>;
}
