/**
 * Where onnxruntime-web puts the nodes of a rewritten model on WebGPU. Arithmetic on shapes belongs on the CPU, where onnxruntime does it; a
 * data node there would take its tensors off the GPU and back in every layer.
 */
import { describe, expect, it } from 'vitest';
import { linearize } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import { TensorProto_DataType as DataType } from '../../src/onnx/gen/onnx.js';
import { openModel } from '../../src/onnx/graph.js';
import { inferShapes } from '../../src/onnx/shapes.js';
import { attentionModel } from '../attention-model.js';
import { noDevice } from '../kernels/device.js';
import { listen, ort } from './ort-webgpu.js';

const printed = await listen();

/** Names of nodes by the provider they are placed on, as the verbose log of a session lists them. */
async function placementOf(bytes: Uint8Array): Promise<Map<string, string[]>> {
  printed.length = 0;
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['webgpu'], logSeverityLevel: 0 });
  await session.release();
  const placed = new Map<string, string[]>();
  let nodes: string[] = [];
  for (const line of printed) {
    const [, provider] = /placed on \[(\w+)\]/.exec(line) ?? [];
    const [, name] = /VerifyEachNodeIsAssignedToAnEp\]\s+\w+ \((.*?)\)/.exec(line) ?? [];
    if (provider) {
      nodes = placed.get(provider) ?? [];
      placed.set(provider, nodes);
    } else if (name) nodes.push(name);
  }
  return placed;
}

const integers = [DataType.INT64, DataType.INT32, DataType.BOOL];

/** Nodes on the CPU that give more than a list of integers or a single number. */
async function dataOnCpu(bytes: Uint8Array): Promise<{ data: string[]; onGpu: number }> {
  const placed = await placementOf(bytes);
  const onCpu = new Set(placed.get('CPUExecutionProvider'));
  const model = openModel(decode(bytes));
  const shapes = inferShapes(model);
  const isData = (value: string) => {
    const { elemType, shape } = shapes(model.graph, value);
    return !shape || shape.length > 1 || (shape.length === 1 && !integers.includes(elemType));
  };
  const data = model.graph.nodes.filter(({ name = '', output }) => onCpu.has(name) && output.some(isData));
  return {
    data: data.map(({ opType, name }) => `${opType} ${name}`),
    onGpu: placed.get('WebGpuExecutionProvider')?.length ?? 0,
  };
}

const plans = ['exact', 'exact-blocked', 'features:m=16', 'window', 'signed'];
const forms = { plain: { mask: undefined }, padded: { mask: 'add' as const } };

describe.skipIf(noDevice)('a rewritten model on WebGPU', () => {
  it.each(Object.entries(forms).flatMap(([name, form]) => plans.map((plan) => [plan, name, form] as const)))(
    '%s, %s: no data node leaves the GPU',
    async (plan, _name, form) => {
      const { bytes } = await linearize(attentionModel({ heads: 2, headDim: 8, self: true, ...form }), { plan });
      const { data, onGpu } = await dataOnCpu(bytes);
      expect(onGpu).toBeGreaterThan(0);
      expect(data.filter((node) => node.includes('performers/'))).toEqual([]);
    },
  );

  it('a model with a data node that WebGPU has no kernel for is found out', async () => {
    const model = decode(attentionModel({ heads: 2, headDim: 8, self: true }));
    const graph = model.graph;
    if (!graph) throw new Error('the model has a graph');
    const node = graph.node.map((one) => (one.opType === 'Softmax' ? { ...one, opType: 'Hardmax' } : one));
    const { data } = await dataOnCpu(concat(encode({ ...model, graph: { ...graph, node } })));
    expect(data).toEqual([expect.stringMatching(/^Hardmax /)]);
  });
});
