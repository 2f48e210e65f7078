/**
 * The identity plan: rewriting every site to exact attention must reproduce the model's own outputs, on both runtimes.
 * Other lengths, batches and paddings of whole models are in test/cli (performers verify --identity).
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as node from 'onnxruntime-node';
import * as web from 'onnxruntime-web';
import { afterAll, describe, expect, it } from 'vitest';
import { linearize } from '../../src/linearize.js';
import { compareOutputs } from '../../src/metrics.js';
import type { TensorLike } from '../../src/session.js';
import { halfBits } from '../half.js';
import { graphFile } from '../shared.js';

interface Case {
  readonly file: string;
  readonly io: string;
  readonly dtype: string;
  readonly externalData?: string;
  readonly sites: readonly unknown[];
}
interface Saved {
  readonly type: string;
  readonly dims: number[];
  readonly data: (number | string)[];
}
const cases: Case[] = JSON.parse(readFileSync(graphFile('manifest.json'), 'utf8'));
const named = cases.filter(({ file, sites }) => !/genai|dynamo23-(sdpa-past|is-causal)/.test(file) && sites.length > 0);
const folder = mkdtempSync(join(tmpdir(), 'performers-identity-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** 1e-5, and for float16 graphs twice what rounding q, k, v and probabilities to 11 bits costs. */
const boundOf = ({ dtype }: Case) => (dtype === 'float16' ? 2e-3 : 1e-5);

async function runNode(entry: Case, bytes: Uint8Array): Promise<Record<string, TensorLike>> {
  const file = join(folder, 'model.onnx');
  writeFileSync(file, bytes);
  if (entry.externalData) copyFileSync(graphFile(`${entry.externalData}`), join(folder, entry.externalData));
  // onnxruntime turns QDQ graphs into integer kernels, and does so differently inside a Scan: compared as written.
  const optimise = entry.dtype.startsWith('qdq') ? 'disabled' : 'all';
  const session = await node.InferenceSession.create(file, { logSeverityLevel: 3, graphOptimizationLevel: optimise });
  return session.run(feedsOf(entry, node.Tensor)) as Promise<Record<string, TensorLike>>;
}

async function runWeb(entry: Case, bytes: Uint8Array): Promise<Record<string, TensorLike>> {
  web.env.wasm.numThreads = 1;
  const optimise = entry.dtype.startsWith('qdq') ? 'disabled' : 'all';
  const externalData = entry.externalData
    ? [{ path: entry.externalData, data: readFileSync(graphFile(`${entry.externalData}`)) }]
    : undefined;
  const session = await web.InferenceSession.create(bytes, {
    logSeverityLevel: 3,
    graphOptimizationLevel: optimise,
    externalData,
  });
  return session.run(feedsOf(entry, web.Tensor)) as Promise<Record<string, TensorLike>>;
}

function feedsOf<T>(entry: Case, Tensor: new (type: never, data: never, dims: number[]) => T): Record<string, T> {
  const { inputs }: { inputs: Record<string, Saved> } = JSON.parse(readFileSync(graphFile(`${entry.io}`), 'utf8'));
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { type, dims, data }]) => [name, makeTensor(Tensor, type, data, dims)]),
  );
}

function makeTensor<T>(
  Tensor: new (type: never, data: never, dims: number[]) => T,
  type: string,
  data: (number | string)[],
  dims: number[],
): T {
  if (type === 'int64') return new Tensor('int64' as never, BigInt64Array.from(data, BigInt) as never, dims);
  if (type === 'bool') return new Tensor('bool' as never, Uint8Array.from(data, Number) as never, dims);
  if (type === 'float16')
    return new Tensor('float16' as never, Uint16Array.from(data, (x) => halfBits(Number(x))) as never, dims);
  return new Tensor('float32' as never, Float32Array.from(data, Number) as never, dims);
}

describe.each([
  ['onnxruntime-node', runNode],
  ['onnxruntime-web', runWeb],
] as const)('%s', (_, runModel) => {
  it.each(named.map((entry) => [entry.file, entry] as const))('%s', async (file, entry) => {
    const bytes = readFileSync(graphFile(`${file}`));
    const want = await runModel(entry, bytes);
    for (const plan of ['exact', 'exact-blocked', 'exact-blocked:block=5']) {
      const { bytes: patched, report } = await linearize(bytes, { plan });
      expect(report.sites).toHaveLength(entry.sites.length);
      for (const { name, relRMS } of compareOutputs(await runModel(entry, patched), want)) {
        expect(relRMS, `${plan}, output ${name}`).toBeLessThanOrEqual(boundOf(entry));
      }
    }
  });
});
