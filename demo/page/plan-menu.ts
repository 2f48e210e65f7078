/** The plans a user can pick, one entry each, with the sliders that they listen to. */
import type { SavedPlan } from '../../src/index.js';
import type { PlanChoice } from './protocol.js';

export const sliders = {
  m: { label: 'm, random features', values: [16, 32, 64, 128, 256, 512], start: 128 },
  window: { label: 'window', values: [32, 64, 128, 256, 512], start: 128 },
  globals: { label: 'globals', values: [0, 4, 8, 16, 32, 64, 128], start: 16 },
  codes: { label: 'codes', values: [0, 8, 16, 32, 64], start: 16 },
  bits: { label: 'bits of codebooks', values: [1, 2, 4, 8, 32], start: 32 },
} as const;

export type SliderName = keyof typeof sliders;
export const sliderNames = Object.keys(sliders) as SliderName[];
export type Settings = Readonly<Record<SliderName, number>>;

/** What plans depend on. */
export interface MenuState {
  readonly causal: boolean;
  readonly images: boolean;
  /** Plans that have their constants: what the model ships with, a file, and what was calibrated here. */
  readonly shipped?: SavedPlan;
  readonly file?: SavedPlan;
  readonly calibrated?: SavedPlan;
}

export interface MenuEntry {
  readonly label: string;
  readonly what: string;
  readonly sliders: readonly SliderName[];
  /** Undefined where something is missing first, which `what` says. */
  choose(settings: Settings, state: MenuState): PlanChoice | undefined;
}

const savedEntry = (label: string, what: string, pick: (state: MenuState) => SavedPlan | undefined): MenuEntry => ({
  label,
  what,
  sliders: ['bits'],
  choose({ bits }, state) {
    const saved = pick(state);
    return saved && { saved, bits };
  },
});

export const menu = {
  shipped: savedEntry(
    'the plan it ships with',
    'Chosen for every head on other data: a window, scored keys and summaries of all the rest.',
    ({ shipped }) => shipped,
  ),
  'exact-blocked': {
    label: 'exact, in blocks',
    what: 'Softmax over blocks of queries: the same answer in O(N) memory.',
    sliders: [],
    choose: () => ({ plan: 'exact-blocked' }),
  },
  window: {
    label: 'window',
    what: 'Exact over the keys around each query and the first few; what is further away is dropped.',
    sliders: ['window', 'globals'],
    choose: ({ window, globals }, { causal }) => ({
      plan: causal ? `hybrid-causal:window=${window},globals=0,codes=0` : `window:window=${window},globals=${globals}`,
    }),
  },
  features: {
    label: 'random features (FAVOR+)',
    what: 'Positive random features in linear time: for models trained with them, and on others another model.',
    sliders: ['m', 'window'],
    choose: ({ m, window }, { causal }) => ({
      plan: causal ? `features-causal:window=${window},m=${m}` : `features:m=${m}`,
    }),
  },
  calibrated: savedEntry(
    'calibrated here',
    'Window, globals and codes as the sliders say, its constants fitted in this page on a few photos or passages: “Calibrate here” first.',
    ({ calibrated }) => calibrated,
  ),
  file: savedEntry(
    'a plan file',
    'What `performers linearize --budget` wrote: FILE.plan.json of this very model.',
    ({ file }) => file,
  ),
} satisfies Record<string, MenuEntry>;

export type MenuName = keyof typeof menu;
export const menuNames = Object.keys(menu) as MenuName[];

/** What “Calibrate here” gives every head that can take it. */
export function calibrationPlan({ window, globals, codes }: Settings, { images }: MenuState): string {
  if (images)
    return `hybrid-2d:tile=4,halo=${Math.max(1, Math.round((Math.sqrt(window) - 4) / 2))},globals=${globals},codes=${codes}`;
  return `hybrid:window=${window},globals=${globals},codes=${codes}`;
}
