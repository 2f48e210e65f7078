/**
 * Every form of every fused operator on the real runtime: the rewritten operator must give all outputs of the original,
 * its cache included, at every size; and the rewrite of a mutant (another scale, mask or rotation) must not.
 */
import { describe, expect, it } from 'vitest';
import { inspect, linearize } from '../../src/linearize.js';
import { compareOutputs } from '../../src/metrics.js';
import { decode } from '../../src/onnx/decode.js';
import { toNumber } from '../../src/onnx/dims.js';
import { openModel } from '../../src/onnx/graph.js';
import { inferShapes } from '../../src/onnx/shapes.js';
import { fusedModel, runFused } from '../fused-model.js';
import { D, H } from './fused-case.js';
import { groupQuery, standard } from './fused-grouped.js';
import { decoder, multiHead, projecting } from './fused-microsoft.js';

describe.each(
  [...multiHead, ...decoder, ...projecting, ...groupQuery, ...standard].map((entry) => [entry.name, entry] as const),
)('%s', (_, entry) => {
  const bytes = fusedModel(entry);
  const { sites, refusals, nearMisses } = inspect(bytes);
  const model = openModel(decode(bytes));
  const shapes = inferShapes(model);

  it('is found', () => {
    expect([...refusals, ...nearMisses]).toEqual([]);
    expect(sites).toMatchObject([{ heads: H, headDim: D, ...entry.site }]);
  });

  it('is rewritten without a change', async () => {
    const { headDim = D } = entry.site;
    const mutant = fusedModel({
      ...entry,
      attributes: { ...entry.attributes, ...(entry.mutant ?? { scale: { float: 1.01 / Math.sqrt(headDim) } }) },
    });
    let worst = 0;
    for (const sizes of entry.sizes) {
      const want = await runFused(bytes, entry.inputs, sizes);
      for (const [output, { dims }] of Object.entries(want)) {
        const shape = shapes(model.graph, output).shape?.map(toNumber);
        expect(shape, output).toHaveLength(dims.length);
        for (const [axis, size] of shape?.entries() ?? []) expect(size ?? dims[axis], output).toBe(dims[axis]);
      }
      for (const plan of ['exact', 'exact-blocked:block=5']) {
        const { bytes: patched } = await linearize(bytes, { plan });
        for (const { name, relRMS } of compareOutputs(await runFused(patched, entry.inputs, sizes), want))
          expect(relRMS, `${plan}, ${name}, ${JSON.stringify(sizes)}`).toBeLessThanOrEqual(1e-5);
      }
      const wrong = await runFused((await linearize(mutant, { plan: 'exact' })).bytes, entry.inputs, sizes);
      worst = Math.max(worst, ...compareOutputs(wrong, want).map(({ relRMS }) => relRMS));
    }
    expect(worst, 'the rewrite of the mutant').toBeGreaterThan(1e-4);
  });
});
