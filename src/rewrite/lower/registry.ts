import type { PlanName } from '../plan-options.js';
import { exact } from './exact.js';
import { exactBlocked } from './exact-blocked.js';
import { features } from './features.js';
import { featuresCausal } from './features-causal.js';
import { hybrid } from './hybrid.js';
import { hybrid2d } from './hybrid-2d.js';
import { hybridCausal } from './hybrid-causal.js';
import { keptBlocks } from './kept-blocks.js';
import { linearAttention } from './linear-attention.js';
import type { Lowering } from './lowering.js';
import { nystrom } from './nystrom.js';
import { signed } from './signed.js';
import { summaries } from './summaries.js';
import { windowLowering } from './window.js';
import { windowCausal } from './window-causal.js';

/** Every plan: one file and one line each, and a line in plan-options.ts. Tests, benches, the CLI's help and `auto` iterate over this. */
export const lowerings = {
  exact,
  'exact-blocked': exactBlocked,
  features,
  window: windowLowering,
  hybrid,
  'hybrid-2d': hybrid2d,
  summaries,
  blocks: keptBlocks,
  'hybrid-causal': hybridCausal,
  'features-causal': featuresCausal,
  'linear-attention': linearAttention,
  'window-causal': windowCausal,
  signed,
  nystrom,
} satisfies Record<PlanName, Lowering>;
