/** Every method that is a model, on onnxruntime-node, on small layers: it opens, and is as exact as its kind says. */
import { describe, expect, test } from 'vitest';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { sessionBackend } from '../../src/bench/backend.js';
import { layerInputs } from '../../src/bench/inputs.js';
import type { Method } from '../../src/bench/method.js';
import { methodNames, methods } from '../../src/bench/methods.js';
import { rowError } from '../../src/bench/reference.js';

const backend = sessionBackend(await nodeSessions('node', undefined, { logSeverityLevel: 3 }), () => undefined);
const n = 200;

describe.each([false, true])('causal %s', (causal) => {
  const shape = { what: 'a layer', heads: 2, width: 64, causal };
  const inputs = layerInputs(shape, 1)(n);
  const models = methodNames.filter((name) => methods[name].form === 'model' && methods[name].takes(shape));

  test.each(models)('%s', async (name) => {
    const method: Method = methods[name];
    const model = await method.open(shape, backend);
    const work = await model.prepare(inputs);
    await work.run();
    const error = rowError(shape, inputs, await work.output());
    await work.release();
    await model.release();
    if (method.kind === 'exact') expect(error).toBeLessThan(5e-6);
    // 256 steps of a range of some nine standard deviations on either side of the scores: measured .013 to .016.
    else if (name === 'int8-scores') expect(error).toBeLessThan(0.03);
    // On scores spread over everything: not exact, and not broken either.
    else expect(error).toBeLessThan(3);
    if (method.kind !== 'exact') expect(error).toBeGreaterThan(1e-3);
    expect(method.keyEquivalents(shape, 4096)).toBeGreaterThan(0);
  });
});

test('a plan that does not take a layer says so, rather than measuring something else', async () => {
  const { planMethod } = await import('../../src/bench/model-methods.js');
  const method = planMethod({ full: 'features-causal', causal: 'features-causal' }, { what: '', kind: 'linear' });
  const shape = { what: 'a layer', heads: 2, width: 64, causal: false };
  await expect(method.open(shape, backend)).rejects.toThrow(/features-causal does not take this layer/);
});
