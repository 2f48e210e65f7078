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
import { gaussians } from '../../src/features/rng.js';
import { inspect, linearize } from '../../src/linearize.js';
import { compareOutputs } from '../../src/metrics.js';
import type { TensorLike } from '../../src/session.js';
import { manifestOf } from '../graphs-manifest.js';
import { halfBits } from '../half.js';
import { graphFile } from '../shared.js';

interface Case {
  readonly file: string;
  readonly io: string;
  readonly dtype: string;
  readonly externalData?: string;
  /** Input shapes of the saved case, and of a second size that the graph takes. */
  readonly lengths: { readonly second: Readonly<Record<string, number[]>> };
  readonly sites: readonly unknown[];
}
interface Saved {
  readonly type: string;
  readonly dims: number[];
  readonly data: (number | string)[];
}
const cases = manifestOf<Case>();
const folder = mkdtempSync(join(tmpdir(), 'performers-identity-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** 1e-5, and for float16 graphs twice what rounding q, k, v and probabilities to 11 bits costs. */
const boundOf = ({ dtype }: Case) => (dtype === 'float16' ? 2e-3 : 1e-5);

async function runNode(entry: Case, bytes: Uint8Array, inputs: Inputs): Promise<Record<string, TensorLike>> {
  const file = join(folder, 'model.onnx');
  writeFileSync(file, bytes);
  if (entry.externalData) copyFileSync(graphFile(`${entry.externalData}`), join(folder, entry.externalData));
  // onnxruntime turns QDQ graphs into integer kernels, and does so differently inside a Scan: compared as written.
  const optimise = entry.dtype.startsWith('qdq') ? 'disabled' : 'all';
  const session = await node.InferenceSession.create(file, { logSeverityLevel: 3, graphOptimizationLevel: optimise });
  return session.run(feedsOf(inputs, node.Tensor)) as Promise<Record<string, TensorLike>>;
}

async function runWeb(entry: Case, bytes: Uint8Array, inputs: Inputs): Promise<Record<string, TensorLike>> {
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
  return session.run(feedsOf(inputs, web.Tensor)) as Promise<Record<string, TensorLike>>;
}

/** Inputs by name: the saved case, or made-up ones. */
type Inputs = Readonly<Record<string, Saved>>;

function savedInputs({ io }: Case): Inputs {
  return JSON.parse(readFileSync(graphFile(io), 'utf8')).inputs;
}

/**
 * Inputs of the second size: a cache that is not empty where there is one (merged decoders take that branch), the second
 * row of the batch padded on the left.
 */
function secondInputs(entry: Case): Inputs {
  const saved = savedInputs(entry);
  const normal = gaussians(5);
  return Object.fromEntries(
    Object.entries(entry.lengths.second).map(([name, dims]): [string, Saved] => {
      const type = saved[name]?.type ?? 'float32';
      const size = dims.reduce((product, dim) => product * dim, 1);
      const last = dims.at(-1) ?? 1;
      const value = (at: number): number => {
        if (type.startsWith('float')) return normal();
        if (type === 'bool') return /pad/.test(name) ? Number(at >= last && at % last < 2) : 1;
        if (/mask/.test(name)) return Number(at < last || at % last > 1);
        if (/token_type/.test(name)) return at % 2;
        return /position/.test(name) ? at % last : (at * 7 + 3) % 50;
      };
      return [name, { type, dims, data: Array.from({ length: size }, (_, at) => value(at)) }];
    }),
  );
}

function feedsOf<T>(inputs: Inputs, Tensor: new (type: never, data: never, dims: number[]) => T): Record<string, T> {
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
  it.each(cases.map((entry) => [entry.file, entry] as const))('%s', async (file, entry) => {
    const bytes = readFileSync(graphFile(`${file}`));
    const refusals = inspect(bytes).refusals.filter(({ site }) => site);
    for (const inputs of [savedInputs(entry), secondInputs(entry)]) {
      const want = await runModel(entry, bytes, inputs);
      for (const plan of ['exact', 'exact-blocked:block=5']) {
        const { bytes: patched, report } = await linearize(bytes, { plan });
        expect(report.sites).toHaveLength(entry.sites.length);
        expect(report.refusals.filter((refusal) => refusal.plan)).toHaveLength(refusals.length);
        for (const { name, relRMS } of compareOutputs(await runModel(entry, patched, inputs), want)) {
          expect(relRMS, `${plan}, output ${name}`).toBeLessThanOrEqual(boundOf(entry));
        }
      }
    }
  });
});

it('BART masks a step with cache causally, whatever the manifest says: a later token changes no earlier logits', async () => {
  const entry = cases.find(({ file }) => file.startsWith('bart-decoder'));
  if (!entry) throw new Error('the collection has a BART decoder');
  const bytes = readFileSync(graphFile(entry.file));
  const logits = async (last: number) => {
    const ids = { type: 'int64', dims: [2, 3], data: [5, 6, last, 7, 8, last] };
    const { logits: found } = await runNode(entry, bytes, { ...secondInputs(entry), input_ids: ids });
    if (!found) throw new Error('the decoder has logits');
    const width = found.dims.at(-1) ?? 1;
    const data = Array.from(found.data as Float32Array);
    return [0, 1, 2].map((token) => data.slice(token * width, (token + 1) * width));
  };
  const [before, after] = [await logits(9), await logits(10)];
  expect(after.slice(0, 2)).toEqual(before.slice(0, 2));
  expect(after[2]).not.toEqual(before[2]);
});
