/** All ways to heal, one after another, on a small model: what is kept, what is said, and that it can be undone. */
import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { sessionFactory } from '../../../src/adapters/onnxruntime.js';
import { calibrate } from '../../../src/calibrate/calibrate.js';
import { gaussians } from '../../../src/features/rng.js';
import { linearize, restore } from '../../../src/linearize.js';
import { generateInputs } from '../../../src/node/inputs.js';
import { decode } from '../../../src/onnx/decode.js';
import { openModel } from '../../../src/onnx/graph.js';
import { readPlan } from '../../../src/rewrite/plan.js';
import type { Feeds } from '../../../src/session.js';
import { graphFile } from '../../shared.js';

const bytes = new Uint8Array(readFileSync(graphFile('bert.optimum-eager.onnx')));
const createSession = sessionFactory(ort);
const tokens = 24;
const { feeds } = generateInputs(openModel(decode(bytes)), { tokens });
const passages = Array.from({ length: 9 }, (_, seed): Feeds => {
  const normal = gaussians(seed);
  const ids = BigInt64Array.from({ length: tokens }, () => BigInt(1 + (Math.floor(Math.abs(normal()) * 1000) % 30)));
  return { ...feeds, input_ids: { ...feeds.input_ids, data: ids } };
});
const options = {
  budget: 16,
  keep: 0,
  candidates: () => [readPlan('features:m=8')],
  heal: ['transfer', 'gain', 'mlp', 'distill', 'subspace'],
  training: { steps: 24, rate: 5e-3 },
} as const;

describe('healing', () => {
  it('tries every way asked for, keeps what helps held-out inputs, and lists what it touched', async () => {
    const found = await calibrate(bytes, passages, createSession, options);
    expect(found.healing.map(({ level }) => level)).toEqual(options.heal);
    let least = found.error.chosen;
    for (const { error, kept } of found.healing) {
      expect(kept).toBe(error < least);
      if (kept) least = error;
    }
    expect(found.error.healed).toBe(least);
    expect(found.healing.some(({ level, kept }) => kept && level !== 'gain')).toBe(true);

    const saved = JSON.parse(JSON.stringify(found.plan));
    const { bytes: healed, report } = await linearize(bytes, { saved });
    const touched = report.sites.flatMap(({ healed: some = [] }) => some);
    const corrections = found.plan.sites.flatMap(({ corrections: some = [] }) => some);
    expect(touched.filter(({ how }) => how.startsWith('kept'))).toHaveLength(corrections.length);
    expect(Buffer.compare(restore(healed, report), bytes)).toBe(0);
    const again = await calibrate(bytes, passages, createSession, options);
    expect(JSON.stringify(again.plan)).toBe(JSON.stringify(found.plan));
  }, 600_000);
});
