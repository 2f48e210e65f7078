/**
 * Where onnxruntime-web puts the nodes of a rewritten model on WebGPU. Arithmetic on shapes belongs on the CPU, where onnxruntime does it; a
 * data node there would take its tensors off the GPU and back in every layer. So would a node of shapes on the GPU whose result the CPU asks
 * for: onnxruntime says which values it copies, too.
 */
import { describe, expect, it } from 'vitest';
import { inspect, type LinearizeOptions, linearize } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat, encode } from '../../src/onnx/encode.js';
import type { NodeProto } from '../../src/onnx/gen/onnx.js';
import { type Graph, type Model, openModel } from '../../src/onnx/graph.js';
import { attentionModel, type Form } from '../attention-model.js';
import { noDevice } from '../kernels/device.js';
import { drawnPlan } from './drawn-plan.js';
import { listen, ort, readFile } from './ort-webgpu.js';

const printed = await listen();

interface Placement {
  /** Names of nodes. */
  readonly onCpu: Set<string>;
  readonly onGpu: number;
  /** Values that are copied from the GPU to the CPU, and the other way. */
  readonly readBack: string[];
  readonly sent: string[];
}

/** What the verbose log of a session says of where its nodes are, those of bodies of Scan, Loop and If among them. */
async function placementOf(bytes: Uint8Array): Promise<Placement> {
  printed.length = 0;
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['webgpu'], logSeverityLevel: 0 });
  await session.release();
  const onCpu = new Set<string>();
  const readBack: string[] = [];
  const sent: string[] = [];
  let onGpu = 0;
  let provider = '';
  for (const line of printed) {
    const [, , toCpu, toGpu] = /Add Memcpy(ToHost before (\S+)|FromHost after (\S+))/.exec(line) ?? [];
    if (toCpu) readBack.push(toCpu);
    if (toGpu) sent.push(toGpu);
    const [, where, count] = /placed on \[(\w+)\]\. Number of nodes: (\d+)/.exec(line) ?? [];
    const [, name] = /VerifyEachNodeIsAssignedToAnEp\]\s+\w+ \((.*?)\)/.exec(line) ?? [];
    if (where) provider = where;
    if (where === 'WebGpuExecutionProvider') onGpu += Number(count);
    if (name && provider === 'CPUExecutionProvider') onCpu.add(name);
  }
  return { onCpu, onGpu, readBack, sent };
}

/** Nodes that read what is in a tensor, and not only how large one is; those of bodies too. */
function readersOfData({ graph }: Model): NodeProto[] {
  const data = new Set(graph.proto.input.map(({ name = '' }) => name));
  const visit = (each: Graph): NodeProto[] =>
    each.sorted.flatMap((node) => {
      const inside = each.subgraphs(node).flatMap(visit);
      const reads = node.input.some((value) => data.has(value)) || inside.length > 0;
      if (!reads || node.opType === 'Shape' || node.opType === 'Size') return [];
      for (const value of node.output) data.add(value);
      return [node, ...inside];
    });
  return visit(graph);
}

/** Nodes on the CPU that read data, as `operator name`, those of bodies among them. */
async function dataOnCpu(bytes: Uint8Array): Promise<Placement & { data: string[] }> {
  const placement = await placementOf(bytes);
  const data = readersOfData(openModel(decode(bytes))).filter(({ name = '' }) => placement.onCpu.has(name));
  return { ...placement, data: data.map(({ opType, name }) => `${opType} ${name}`) };
}

const form: Form = { heads: 2, headDim: 8, self: true };
const codesOf = (width: number) => ({ query: width, 'keys3.weights': 3 * width, 'keys3.offsets': 3 });
const codebook = { ...codesOf(8), 'keys.metric': 64 };
const drawn = (plan: string) => (model: Uint8Array) => ({ saved: drawnPlan(model, plan, codebook) });
const plans: Record<string, (model: Uint8Array) => LinearizeOptions> = {
  exact: () => ({ plan: 'exact' }),
  'features:m=16': () => ({ plan: 'features:m=16' }),
  window: () => ({ plan: 'window' }),
  'window, globals that are not the first': () => ({ plan: { name: 'window', globals: [3, 90] } }),
  signed: () => ({ plan: 'signed' }),
  hybrid: drawn('hybrid:window=32,globals=4,sinks=2,codes=3'),
  'hybrid without globals': drawn('hybrid:window=256,globals=0,codes=3'),
};
const masks: readonly Form['mask'][] = [undefined, 'add', 'where'];
const ours = (names: readonly string[]) => names.filter((name) => name.includes('performers/'));

describe.skipIf(noDevice)('a rewritten model on WebGPU', () => {
  it.each(Object.entries(plans))(
    '%s: no data node leaves the GPU, and nothing is read back',
    async (_plan, options) => {
      for (const mask of masks) {
        const model = attentionModel({ ...form, mask });
        const { bytes } = await linearize(model, options(model));
        const { data, onGpu, readBack } = await dataOnCpu(bytes);
        expect(onGpu).toBeGreaterThan(0);
        expect(ours(data)).toEqual([]);
        expect(ours(readBack)).toEqual([]);
      }
    },
  );

  it('the shipped ViT by its plan, hybrid-2d behind an If in every layer: nothing is read back', async () => {
    const bytes = await readFile('models/vit-s14-saliency/onnx/model.onnx');
    const plan = new TextDecoder().decode(await readFile('models/vit-s14-saliency/hybrid.plan.json'));
    const { data, readBack } = await dataOnCpu((await linearize(bytes, { saved: JSON.parse(plan) })).bytes);
    expect(data).toEqual([]);
    expect(readBack).toEqual([]);
  }, 600_000);

  // onnxruntime has a Scan for the CPU alone: its body stays on the GPU, what the body returns comes and goes.
  it('exact-blocked: of data, the Scan takes nothing off the GPU but its own result', async () => {
    for (const mask of masks) {
      const model = attentionModel({ ...form, mask });
      const { bytes } = await linearize(model, { plan: 'exact-blocked' });
      const { data, readBack, sent } = await dataOnCpu(bytes);
      expect(ours(data)).toEqual([expect.stringMatching(/^Scan /)]);
      expect(ours(readBack)).toEqual([]);
      expect(ours(sent)).toEqual([expect.stringMatching(/\/Scan_/)]);
    }
  });

  // It has neither products nor maxima of whole numbers: `blocks` is for WebAssembly and processors.
  it('blocks: its estimate is computed off the GPU', async () => {
    const model = attentionModel(form);
    const plan = 'blocks:window=32,globals=4,codes=3,blocks=2';
    const { bytes } = await linearize(model, { saved: drawnPlan(model, plan, codebook) });
    const { data } = await dataOnCpu(bytes);
    const off = new Set(ours(data).map((name) => name.split(' ')[0]));
    expect([...off].sort()).toMatchInlineSnapshot(`
      [
        "Cast",
        "Gather",
        "MatMulInteger",
        "Reshape",
        "Round",
        "Scan",
        "Transpose",
        "Where",
      ]
    `);
  });

  it('a model with a data node that WebGPU has no kernel for is found out', async () => {
    const model = decode(attentionModel(form));
    const graph = model.graph;
    if (!graph) throw new Error('the model has a graph');
    const node = graph.node.map((one) => (one.opType === 'Softmax' ? { ...one, opType: 'Hardmax' } : one));
    const { data, readBack } = await dataOnCpu(concat(encode({ ...model, graph: { ...graph, node } })));
    expect(data).toEqual([expect.stringMatching(/^Hardmax /)]);
    expect(readBack).toHaveLength(1);
  });
});

/** Decoders: attention that is written out, with weights of 4 bits, and fused, which adds lengths in other types. */
const decoders = [
  'llama.optimum-sdpa-past',
  'llama.optimum-eager-past.q4',
  'gpt2.optimum-sdpa-past',
  'llama.genai-gqa',
];
const inStream: Record<string, (model: Uint8Array) => LinearizeOptions> = {
  'hybrid-causal': (model) => {
    const [{ headDim }] = inspect(model).sites;
    const saved = drawnPlan(model, 'hybrid-causal:window=32,globals=4,sinks=2,codes=3', codesOf(headDim));
    return { saved };
  },
  'features-causal': () => ({ plan: 'features-causal:window=32,m=4' }),
  'features-causal without a window': () => ({ plan: 'features-causal:window=0,m=4' }),
  'linear-attention': () => ({ plan: 'linear-attention:m=4' }),
  'window-causal': () => ({ plan: 'window-causal:window=8,sinks=4' }),
  'window-causal, keys kept for an exact head': () => ({
    plan: 'window-causal:window=8,sinks=4',
    rules: [{ layers: [0, 1], heads: [1], plan: 'exact-blocked' }],
  }),
};

describe.skipIf(noDevice)('a decoder with a state on WebGPU', () => {
  // The mark and the number of tokens: how many blocks a call has, and whether one ends, is made of them.
  const header = [expect.stringMatching(/^Cast performers\/Split_/)];

  it.each(decoders.flatMap((file) => Object.keys(inStream).map((plan) => [file, plan] as const)))(
    '%s, %s: of all its layers, in prefill and in a step, only the first numbers of one state are read back',
    async (file, plan) => {
      const model = await readFile(`test/graphs/${file}.onnx`);
      const { bytes } = await linearize(model, inStream[plan](model));
      const { readBack, onGpu } = await placementOf(bytes);
      expect(onGpu).toBeGreaterThan(0);
      expect(madeBy(bytes, ours(readBack))).toEqual(header);
      expect(madeBy(bytes, readBack)).toEqual(header);
    },
  );

  it('the shipped performer-stories: the same of four layers', async () => {
    const bytes = await readFile('models/performer-stories/onnx/model.onnx');
    const { readBack } = await placementOf(bytes);
    expect(madeBy(bytes, readBack)).toEqual(header);
  });

  // The graph computes its mask in floats, on the GPU: which tokens count is read of that.
  it('an additive mask that the graph makes: which of the new tokens count is read back too', async () => {
    const bytes = await readFile('test/graphs/llama.genai-mha.onnx');
    const { readBack } = await placementOf((await linearize(bytes, { plan: 'features-causal:window=32,m=4' })).bytes);
    expect(readBack).toHaveLength(2);
  });
});

/** What gives these values, as `operator input`. */
function madeBy(bytes: Uint8Array, values: readonly string[]): string[] {
  const { graph } = openModel(decode(bytes));
  return values.map((value) => {
    const { opType, input } = graph.producer(value) ?? { opType: 'none', input: [] };
    return `${opType} ${input[0]}`;
  });
}
