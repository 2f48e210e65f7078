/** verify() on sessions made up for it: which model ran on what, and what becomes of failures. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nodeSessions } from '../src/adapters/runtime.node.js';
import { generateInputs } from '../src/node/inputs.js';
import { decode } from '../src/onnx/decode.js';
import { openModel } from '../src/onnx/graph.js';
import type { SessionFactory } from '../src/session.js';
import { ownRounding, verify, verifyIdentity, worstErrors } from '../src/verify.js';
import { graphFile } from './shared.js';

const original = Uint8Array.of(1);
const patched = Uint8Array.of(2);
const tensor = (data: number[]) => ({ type: 'float32', dims: [data.length], data });
const cases = [3, 4, 5].map((n) => ({ name: `N = ${n}`, feeds: { x: tensor(new Array<number>(n).fill(1)) } }));

/** y = x, from the patched model with `error` on the first element; `fails` says on which model and length it throws. */
function sessions(error: number, fails: (model: number, n: number) => boolean = () => false) {
  const log: string[] = [];
  const create: SessionFactory = async ([model = 0]) => {
    log.push(`open ${model}`);
    return {
      inputNames: ['x'],
      outputNames: ['y'],
      async run({ x }) {
        const data = Array.from(x.data, Number);
        if (fails(model, data.length)) throw new Error(`model ${model} fails at ${data.length}`);
        if (model === 2) data[0] += error;
        return { y: tensor(data) };
      },
      async release() {
        log.push(`close ${model}`);
      },
    };
  };
  return { create, log };
}

describe('verify', () => {
  test('compares all cases; the worst counts', async () => {
    const { create, log } = sessions(0.5);
    const { outputs, cases: results } = await verify(original, patched, cases, create);
    expect(outputs).toEqual([{ name: 'y', relRMS: Math.sqrt(0.25 / 3), maxAbs: 0.5 }]);
    expect(results.map(({ name, outputs }) => [name, outputs?.[0]?.maxAbs])).toEqual([
      ['N = 3', 0.5],
      ['N = 4', 0.5],
      ['N = 5', 0.5],
    ]);
    expect(log).toEqual(['open 1', 'close 1', 'open 2', 'close 2']);
  });

  test('what the original does not run on is not asked of the patched model', async () => {
    const { create } = sessions(0, (_, n) => n === 4);
    const { outputs, cases: results } = await verify(original, patched, cases, create);
    expect(outputs).toEqual([{ name: 'y', relRMS: 0, maxAbs: 0 }]);
    expect(results[1]).toMatchObject({ originalError: { message: 'model 1 fails at 4' } });
    expect(results[1]).not.toHaveProperty('patchedError');
  });

  test('a failure of the patched model is a result, and the next case gets a new session', async () => {
    const { create, log } = sessions(0, (model, n) => model === 2 && n === 4);
    const { cases: results } = await verify(original, patched, cases, create);
    expect(results[1]).toMatchObject({ patchedError: { message: 'model 2 fails at 4' } });
    expect(results[2]?.outputs).toEqual([{ name: 'y', relRMS: 0, maxAbs: 0 }]);
    expect(log).toEqual(['open 1', 'close 1', 'open 2', 'close 2', 'open 2', 'close 2']);
  });

  test('a model that cannot be opened fails every case', async () => {
    const { cases: results } = await verify(original, patched, cases, async () => {
      throw new Error('no');
    });
    expect(results.every(({ originalError }) => originalError instanceof Error)).toBe(true);
  });
});

test('worstErrors keeps outputs apart', () => {
  const a = { name: 'a', relRMS: 1, maxAbs: 2 };
  const worse = { name: 'a', relRMS: 3, maxAbs: 1 };
  const b = { name: 'b', relRMS: 0, maxAbs: 0 };
  expect(worstErrors([[a, b], [worse]])).toEqual([{ name: 'a', relRMS: 3, maxAbs: 2 }, b]);
});

test('verifyIdentity holds on a real model, and sees a mutant', async () => {
  const bytes = new Uint8Array(readFileSync(graphFile('bert.optimum-eager.onnx')));
  const { feeds } = generateInputs(openModel(decode(bytes)), { tokens: 17, batch: 2 });
  const createSession = await nodeSessions('node');
  const worst = async (factory: SessionFactory) => {
    const plans = await verifyIdentity(bytes, [{ name: 'N = 17', feeds }], factory);
    expect(plans.map(({ plan }) => plan)).toEqual(['exact', 'exact-blocked']);
    return Math.max(...plans.flatMap(({ outputs }) => outputs.map(({ relRMS }) => relRMS)));
  };
  expect(await worst(createSession)).toBeLessThan(1e-5);

  // The rewritten models, by their size, see one token more than the original does.
  const unmasked = { ...feeds, attention_mask: { ...feeds.attention_mask, data: new BigInt64Array(34).fill(1n) } };
  const mutant: SessionFactory = async (model) => {
    const session = await createSession(model);
    return model.byteLength === bytes.byteLength ? session : { ...session, run: () => session.run(unmasked) };
  };
  expect(await worst(mutant)).toBeGreaterThan(1e-3);
});

test('the own rounding of a model: without graph optimisations, and with the last bits of its inputs changed', async () => {
  const file = graphFile('llama.optimum-sdpa-past.onnx');
  const bytes = new Uint8Array(readFileSync(file));
  const own = [{ name: 'N = 17', feeds: generateInputs(openModel(decode(bytes)), { tokens: 17 }).feeds }];
  const [all, none] = await Promise.all(
    (['all', 'disabled'] as const).map((graphOptimizationLevel) =>
      nodeSessions('node', file, { graphOptimizationLevel }),
    ),
  );
  const worst = (outputs: readonly { relRMS: number }[]) => Math.max(...outputs.map(({ relRMS }) => relRMS));
  expect(worst(await ownRounding(bytes, own, [all, all]))).toBe(0);
  const past = [{ name: 'past 5', feeds: generateInputs(openModel(decode(bytes)), { tokens: 2, past: 5 }).feeds }];
  expect(worst(await ownRounding(bytes, past, [all, all]))).toBeGreaterThan(0);
  const rounding = worst(await ownRounding(bytes, own, [all, none]));
  expect(rounding).toBeGreaterThan(0);
  expect(rounding).toBeLessThan(1e-5);
});
