/**
 * Where onnxruntime-web puts the nodes of a rewritten model on WebGPU. Arithmetic on shapes belongs on the CPU, where onnxruntime does it; a
 * data node there would take its tensors off the GPU and back in every layer.
 */
import { describe, expect, it } from 'vitest';
import { type LinearizeOptions, linearize } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import type { NodeProto } from '../../src/onnx/gen/onnx.js';
import { type Model, openModel } from '../../src/onnx/graph.js';
import { attentionModel, type Form } from '../attention-model.js';
import { noDevice } from '../kernels/device.js';
import { drawnPlan } from './drawn-plan.js';
import { listen, ort } from './ort-webgpu.js';

const printed = await listen();

/** What the verbose log of a session says of where its nodes are: names of those on the CPU, the number of those on the GPU. */
async function placementOf(bytes: Uint8Array): Promise<{ onCpu: Set<string>; onGpu: number }> {
  printed.length = 0;
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['webgpu'], logSeverityLevel: 0 });
  await session.release();
  const onCpu = new Set<string>();
  let onGpu = 0;
  let provider = '';
  for (const line of printed) {
    const [, where, count] = /placed on \[(\w+)\]\. Number of nodes: (\d+)/.exec(line) ?? [];
    const [, name] = /VerifyEachNodeIsAssignedToAnEp\]\s+\w+ \((.*?)\)/.exec(line) ?? [];
    if (where) provider = where;
    if (where === 'WebGpuExecutionProvider') onGpu += Number(count);
    if (name && provider === 'CPUExecutionProvider') onCpu.add(name);
  }
  return { onCpu, onGpu };
}

/** Nodes that read what is in a tensor, and not only how large one is. */
function readersOfData({ graph }: Model): NodeProto[] {
  const data = new Set(graph.proto.input.map(({ name = '' }) => name));
  return graph.sorted.filter((node) => {
    const reads = node.input.some((value) => data.has(value)) || graph.subgraphs(node).length > 0;
    if (!reads || node.opType === 'Shape' || node.opType === 'Size') return false;
    for (const value of node.output) data.add(value);
    return true;
  });
}

/** Nodes on the CPU that read data, as `operator name`, and how many are on the GPU. */
async function dataOnCpu(bytes: Uint8Array): Promise<{ data: string[]; onGpu: number }> {
  const { onCpu, onGpu } = await placementOf(bytes);
  const data = readersOfData(openModel(decode(bytes))).filter(({ name = '' }) => onCpu.has(name));
  return { data: data.map(({ opType, name }) => `${opType} ${name}`), onGpu };
}

const form: Form = { heads: 2, headDim: 8, self: true };
const codebook = { query: 8, 'keys3.weights': 24, 'keys3.offsets': 3 };
const plans: Record<string, (model: Uint8Array) => LinearizeOptions> = {
  exact: () => ({ plan: 'exact' }),
  'features:m=16': () => ({ plan: 'features:m=16' }),
  window: () => ({ plan: 'window' }),
  signed: () => ({ plan: 'signed' }),
  'hybrid without globals': (model) => ({ saved: drawnPlan(model, 'hybrid:window=32,globals=0,codes=3', codebook) }),
};
const hybrid = (model: Uint8Array): LinearizeOptions => ({
  saved: drawnPlan(model, 'hybrid:window=32,globals=4,codes=3', codebook),
});
const masks: readonly Form['mask'][] = [undefined, 'add', 'where'];

describe.skipIf(noDevice)('a rewritten model on WebGPU', () => {
  it.each(Object.entries(plans))('%s: no data node leaves the GPU', async (_plan, options) => {
    for (const mask of masks) {
      const model = attentionModel({ ...form, mask });
      const { bytes } = await linearize(model, options(model));
      const { data, onGpu } = await dataOnCpu(bytes);
      expect(onGpu).toBeGreaterThan(0);
      expect(data.filter((node) => node.includes('performers/'))).toEqual([]);
    }
  });

  // What onnxruntime has for the CPU alone; none of it is left where the site is spliced.
  it.each([
    ['exact-blocked', 'its Scan', /^Scan /, () => ({ plan: 'exact-blocked' })],
    ['hybrid', 'the repeated indices of its globals', /^Expand /, hybrid],
  ] as const)('%s: %s alone leaves it', async (_plan, _what, node, options) => {
    const model = attentionModel(form);
    const { bytes } = await linearize(model, options(model));
    const { data } = await dataOnCpu(bytes);
    expect(data).toEqual([expect.stringMatching(node)]);
  });

  it('a model with a data node that WebGPU has no kernel for is found out', async () => {
    const model = decode(attentionModel(form));
    const graph = model.graph;
    if (!graph) throw new Error('the model has a graph');
    const node = graph.node.map((one) => (one.opType === 'Softmax' ? { ...one, opType: 'Hardmax' } : one));
    const { data } = await dataOnCpu(concat(encode({ ...model, graph: { ...graph, node } })));
    expect(data).toEqual([expect.stringMatching(/^Hardmax /)]);
  });
});
