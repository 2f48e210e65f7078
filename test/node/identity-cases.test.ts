/**
 * `verify --identity` over every exporter graph that has attention, on what is generated for it: at all lengths, with
 * padding on either side and with a cache, every case that the original runs on gives its own answers. On wasm the graphs
 * with fused operators or branches; the others run there on their saved case (test/rewrite/identity.test.ts).
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nodeSessions } from '../../src/adapters/runtime.node.js';
import { inspect } from '../../src/linearize.js';
import { identityCases } from '../../src/node/identity-cases.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import { verifyIdentity } from '../../src/verify.js';
import { graphFile } from '../shared.js';

const manifest: { file: string; dtype: string }[] = JSON.parse(readFileSync(graphFile('manifest.json'), 'utf8'));
const graphs = manifest.filter(({ file }) => {
  const { sites, refusals } = inspect(readFileSync(graphFile(file)));
  return sites.length > 0 || refusals.some(({ site }) => site);
});
/** Float16 rounds at 2⁻¹¹, and a rewrite rounds elsewhere; whole models add up some of it. */
const boundOf = (dtype: string) => (/16/.test(dtype) ? 2e-3 : 1e-5);

const onWasm = graphs.filter(({ file }) => /genai|dynamo23|ort-fused|ort-mha|ort-attention|merged/.test(file));

describe.each([
  ['node', graphs],
  ['wasm', onWasm],
] as const)('%s', (runtime, own) => {
  test.each(own.map(({ file, dtype }) => [file, dtype] as const))('%s', { timeout: 120_000 }, async (file, dtype) => {
    const bytes = new Uint8Array(readFileSync(graphFile(file)));
    // onnxruntime makes integer kernels of QDQ graphs, and others within a Scan: those are compared as written.
    const graphOptimizationLevel = dtype.startsWith('qdq') ? 'disabled' : 'all';
    const createSession = await nodeSessions(runtime, graphFile(file), {
      graphOptimizationLevel,
      logSeverityLevel: 4,
    });
    const cases = identityCases(openModel(decode(bytes)));
    for (const { plan, cases: results } of await verifyIdentity(bytes, cases, createSession)) {
      const compared = results.filter(({ outputs }) => outputs);
      expect(compared.length, plan).toBeGreaterThanOrEqual(1);
      for (const { name, patchedError, outputs = [] } of results) {
        expect(patchedError, `${plan}, ${name}`).toBeUndefined();
        for (const { name: output, relRMS } of outputs)
          expect(relRMS, `${plan}, ${name}, ${output}`).toBeLessThanOrEqual(boundOf(dtype));
      }
    }
  });
});
