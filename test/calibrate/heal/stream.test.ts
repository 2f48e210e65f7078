/** A model run layer after layer: what a step goes on from gives what the whole model gives, and only what is new is run. */
import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { sessionFactory } from '../../../src/adapters/onnxruntime.js';
import { lastMlpProduct } from '../../../src/calibrate/heal/mlp-product.js';
import { openStream } from '../../../src/calibrate/heal/stream.js';
import { decode } from '../../../src/onnx/decode.js';
import { openModel } from '../../../src/onnx/graph.js';
import { makeGraph, makeModel, makeNode, makeValueInfo } from '../../../src/onnx/message.js';
import { inferShapes } from '../../../src/onnx/shapes.js';
import { findAttention } from '../../../src/rewrite/find.js';
import type { Feeds, TensorLike } from '../../../src/session.js';
import { close, expectMutantFails } from '../../close.js';

const model = openModel(decode(readFileSync('models/vit-s14-saliency/onnx/model.onnx')));
const { sites } = findAttention(model);
const scope = { graph: model.graph, shapes: inferShapes(model) };
const contexts = sites.map(({ operands }) => operands.context.value);
const behind = (layer: number): readonly string[] => {
  const product = lastMlpProduct(scope, sites[layer]);
  if ('refused' in product) throw new Error(product.refused);
  return product.stream;
};
const inputs = [1, 2, 3].map((seed): Feeds => {
  const data = Float32Array.from({ length: 3 * 56 ** 2 }, (_, i) => Math.sin(seed * i));
  return { pixel_values: { type: 'float32', dims: [1, 3, 56, 56], data } };
});
/** onnxruntime, and how many nodes each of its sessions was given. */
const opened: number[] = [];
const createSession = async (bytes: Uint8Array) => {
  opened.push(decode(bytes).graph?.node.length ?? 0);
  return sessionFactory(ort)(bytes);
};
const floats = (tensor: TensorLike) => Float32Array.from(tensor.data as Float32Array);

async function through(layers: readonly number[], keep: (layer: number) => readonly string[]) {
  const stream = openStream(inputs, createSession);
  const found: Float32Array[][] = [];
  for (const layer of layers) {
    const of: Float32Array[] = [];
    await stream.run(model.proto, {
      wanted: [contexts[layer]],
      keep: keep(layer),
      use: (outputs) => of.push(floats(outputs[contexts[layer]])),
    });
    found.push(of);
  }
  return found;
}

describe('a stream', () => {
  it('gives on every input what the whole model gives, and runs no layer twice', async () => {
    const whole = await through([4, 8, 11], () => []);
    opened.length = 0;
    const steps = await through([4, 8, 11], (layer) => behind(layer - 1));
    const [first, second, third] = opened;
    expect(second).toBeLessThan(first);
    expect(third).toBeLessThan(first);
    for (const [step, contexts] of steps.entries())
      for (const [i, context] of contexts.entries()) close(context, whole[step][i], 1e-5);
    // Inputs are not mixed up, and another layer is another context.
    expectMutantFails(() => close(steps[2][0], whole[2][1], 1e-5));
    expectMutantFails(() => close(steps[2][0], whole[1][0], 1e-5));
  });

  it('computes under another name what a node gives beside a value that is known', async () => {
    const split = makeModel(
      makeGraph({
        name: 'split',
        node: [
          makeNode({ opType: 'Add', input: ['x', 'x'], output: ['y'] }),
          makeNode({ opType: 'Split', input: ['y'], output: ['a', 'b'] }),
          makeNode({ opType: 'Mul', input: ['a', 'b'], output: ['z'] }),
        ],
        input: [makeValueInfo('x', 1, [4])],
        output: [makeValueInfo('z', 1, [2])],
      }),
      11,
    );
    const x = { type: 'float32', dims: [4], data: Float32Array.of(1, 2, 3, 4) };
    const stream = openStream([{ x }], createSession);
    const seen: number[][] = [];
    for (const keep of [['a'], []])
      await stream.run(split, { wanted: ['z'], keep, use: ({ z }) => seen.push([...floats(z)]) });
    expect(seen).toEqual([
      [12, 32],
      [12, 32],
    ]);
  });
});
