/** A sliding window and sinks in a stream, run by onnxruntime, against their definition in float64. */
import { describe, expect, it } from 'vitest';
import { linearize } from '../../src/linearize.js';
import { normalInput } from '../attention/cases.js';
import { type CausalForm, causalModel, formOf, grouped, judged, leftPadded, runInPieces } from '../causal-model.js';
import { close, expectMutantFails } from '../close.js';
import type { Attention } from '../oracle/attention.js';
import { type CausalWindow, causalWindowAttention } from '../oracle/window-causal.js';

const bound = 5e-6;

const settings: Readonly<Record<string, CausalWindow>> = {
  'its own key alone': { window: 1, sinks: 0 },
  'less than a block': { window: 7, sinks: 3 },
  'a block': { window: 32, sinks: 0 },
  'more than a block, more sinks than that': { window: 45, sinks: 37 },
};

const sized = (N: number, more: object = {}) => ({ B: 1, H: 2, D: 8, E: 8, N, S: N, ...more });
const cases: Readonly<Record<string, Attention>> = {
  'one token': normalInput(sized(1), 1),
  'whole blocks': normalInput(sized(96), 3),
  'ragged, batch 2, E ≠ D': normalInput(sized(131, { B: 2, H: 3, E: 5 }), 4),
  'padding before': leftPadded(normalInput(sized(101, { B: 2 }), 6, { masked: [1, 57] })),
  'padding behind': normalInput(sized(101, { B: 2 }), 6, { masked: [1, 57] }),
  '|q| × 8': normalInput(sized(90), 8, { qSize: 8 }),
};

const planOf = ({ window, sinks }: CausalWindow) => `window-causal:window=${window},sinks=${sinks}`;

async function patched(form: CausalForm, setting: CausalWindow): Promise<Uint8Array> {
  const { bytes, report } = await linearize(causalModel(form), { plan: planOf(setting) });
  expect(report.sites.map(({ plans }) => plans[0].plan)).toEqual([planOf(setting)]);
  return bytes;
}

describe.each(Object.entries(settings))('window-causal, %s', (_, setting) => {
  it.each(Object.entries(cases))('equals the oracle: %s', async (_, input) => {
    const form = formOf(input);
    const { context } = await runInPieces(await patched(form, setting), input, form, [input.S]);
    close(...judged(context, causalWindowAttention(input, setting)), bound);
  });

  it.each([
    ['in one call', (S: number) => [S]],
    ['a prompt, then tokens', (S: number) => [S - 40, ...Array.from({ length: 40 }, (_, i) => S - 39 + i)]],
    ['uneven pieces', (S: number) => [5, 37, 38, 90, 91, S]],
  ])('keeps a state of one size a key head: %s', async (_, ends) => {
    const input = grouped(leftPadded(normalInput(sized(101, { B: 2, H: 4, E: 5 }), 6, { masked: [1, 57] })), 2);
    const form = { ...formOf(input), kvHeads: 2, cache: true };
    const { context, sizes } = await runInPieces(await patched(form, setting), input, form, ends(input.S));
    close(...judged(context, causalWindowAttention(input, setting)), bound);
    const states = sizes.filter((_, i) => i % 2 === 1);
    expect(new Set(states.map(String)).size).toBe(1);
    const [, G, R, E] = states[0];
    const row = 2 + 2 * ((setting.window + 31) * (8 + 5) + setting.sinks * (8 + 5 + 3));
    expect(G * R * E).toBe(Math.ceil(row / (G * E)) * (G * E));
  });
});

describe('window-causal', () => {
  const input = cases['ragged, batch 2, E ≠ D'];
  const setting = settings['less than a block'];
  it.each([
    ['one key more', { window: 8 }],
    ['one key less', { window: 6 }],
    ['a sink lost', { sinks: 2 }],
    ['a sink more', { sinks: 4 }],
  ])('refuses the mutant: %s', async (_, mutant) => {
    const form = formOf(input);
    const { context } = await runInPieces(await patched(form, setting), input, form, [input.S]);
    expectMutantFails(() => close(...judged(context, causalWindowAttention(input, { ...setting, ...mutant })), bound));
  });

  it.each([11, 13, 18, 20])('holds at opset %i', async (opset) => {
    const form = { ...formOf(input), opset };
    const { context } = await runInPieces(await patched(form, setting), input, form, [input.S]);
    close(...judged(context, causalWindowAttention(input, setting)), bound);
  });

  it('is the model itself where its mask slides, whatever is asked for', async () => {
    const own = grouped(normalInput(sized(131, { B: 2, H: 4 }), 5), 2);
    const form = { ...formOf(own), kvHeads: 2, cache: true, left: 9 };
    const want = causalWindowAttention(own, { window: 10, sinks: 0 });
    const ends = [5, 37, 38, 100, 131];
    const original = await runInPieces(causalModel(form), own, form, ends);
    close(original.context, want, bound);
    const { context, sizes } = await runInPieces(await patched(form, { window: 64, sinks: 4 }), own, form, ends);
    close(context, want, bound);
    expect(new Set(sizes.filter((_, i) => i % 2 === 1).map(String)).size).toBe(1);
    const narrow = await runInPieces(await patched(form, { window: 9, sinks: 4 }), own, form, ends);
    expectMutantFails(() => close(narrow.context, want, bound));
  });

  it('leaves heads exact beside it where a mask slides, which slides for them, too', async () => {
    const own = grouped(normalInput(sized(101, { B: 2, H: 4 }), 5), 2);
    const form = { ...formOf(own), kvHeads: 2, cache: true, left: 9 };
    const rules = [{ layers: 0, heads: [1, 2], plan: 'exact-blocked' }];
    const { bytes, report } = await linearize(causalModel(form), { plan: 'window-causal', rules });
    expect(report.sites[0].plans).toHaveLength(2);
    const { context } = await runInPieces(bytes, own, form, [5, 37, 38, 101]);
    close(context, causalWindowAttention(own, { window: 10, sinks: 0 }), bound);
    expectMutantFails(() => close(context, causalWindowAttention(own, { window: 11, sinks: 0 }), bound));
  });

  it('takes the place of a plan that reads no sliding masks, as an exact one', async () => {
    const bytes = causalModel({ heads: 2, headDim: 8, cache: true, left: 9 });
    const { report } = await linearize(bytes, { plan: 'hybrid-causal:globals=0,codes=0' });
    expect(report.sites[0]).toMatchObject({
      plans: [{ plan: 'window-causal:window=10,sinks=0' }],
      why: expect.stringMatching(/exact over the sliding window that the model has/),
      cache: { perToken: 0 },
    });
  });
});
