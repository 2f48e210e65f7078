/** Methods that are an ONNX model: attention as exported, as onnxruntime fuses it, and as linearize() rewrites it. */
import { calibrate } from '../calibrate/calibrate.js';
import { type LinearizeOptions, linearize } from '../linearize.js';
import { lowerings } from '../rewrite/lower/registry.js';
import { readPlan } from '../rewrite/plan.js';
import type { SavedPlan } from '../rewrite/saved-plan.js';
import type { Feeds } from '../session.js';
import type { Backend } from './backend.js';
import { layerInputs } from './inputs.js';
import { plainLayer } from './layer-graph.js';
import { allKeys, type Method, type OpenMethod } from './method.js';
import type { LayerInputs } from './reference.js';
import type { LayerShape } from './shape.js';

type About = Pick<Method, 'what' | 'kind'>;

/** Plans, one for layers that see everything and one for causal ones where there is one. */
interface Plans {
  readonly full: string;
  readonly causal?: string;
}

/** Attention of a graph made for it. */
export function graphMethod(build: (shape: LayerShape) => Uint8Array, about: About): Method {
  return {
    ...about,
    form: 'model',
    takes: () => true,
    keyEquivalents: allKeys,
    open: (shape, backend) => openModel(build(shape), shape, backend),
  };
}

/** Plain attention rewritten by a plan. */
export function planMethod(plans: Plans, about: About): Method {
  return rewritten(plans, about, async (plan) => ({ plan }));
}

/** The same, its constants calibrated on a few inputs of the layer's own kind: random ones here. */
export function calibratedMethod(plans: Plans, about: About): Method {
  return rewritten(plans, about, async (plan, shape, backend) => ({
    saved: await calibratedPlan(plan, shape, backend),
  }));
}

/** One plan for all heads of plain attention, and its constants. */
export async function calibratedPlan(
  plan: string,
  shape: LayerShape,
  { createSession }: Pick<Backend, 'createSession'>,
): Promise<SavedPlan> {
  const inputs = layerInputs(shape, calibration.seed)(calibration.tokens * calibration.inputs);
  const samples = Array.from({ length: calibration.inputs }, (_, i) => feedsOf(shape, piece(shape, inputs, i)));
  const chosen = await calibrate(plainLayer(shape), samples, createSession, {
    candidates: () => [readPlan(plan)],
    budget: Number.MAX_SAFE_INTEGER,
    keep: 0,
    heal: false,
  });
  return chosen.plan;
}

/** Inputs that have no part in what is measured; a third of them is held out. */
const calibration = { seed: 99, tokens: 256, inputs: 3 };

function rewritten(
  plans: Plans,
  about: About,
  optionsFor: (plan: string, shape: LayerShape, backend: Backend) => Promise<LinearizeOptions>,
): Method {
  const planOf = ({ causal }: LayerShape) => (causal && plans.causal ? plans.causal : plans.full);
  return {
    ...about,
    form: 'model',
    takes: ({ causal }) => !causal || plans.causal !== undefined,
    keyEquivalents(shape, n) {
      const { name, options } = readPlan(planOf(shape));
      return about.kind === 'exact' ? allKeys(shape, n) : lowerings[name].keyEquivalents(options, n);
    },
    async open(shape, backend) {
      const plan = planOf(shape);
      const { bytes, report } = await linearize(plainLayer(shape), await optionsFor(plan, shape, backend));
      const [site] = report.sites;
      const got = site?.plans[0]?.plan ?? '';
      // What a layer cannot take becomes exact attention, with the reason: here that is a failure of the method.
      if (!got.startsWith(readPlan(plan).name)) throw new TypeError(`${plan} does not take this layer: ${site?.why}`);
      return openModel(bytes, shape, backend);
    },
  };
}

async function openModel(bytes: Uint8Array, shape: LayerShape, backend: Backend): Promise<OpenMethod> {
  const model = await backend.open(bytes);
  return { prepare: (inputs) => model.prepare(feedsOf(shape, inputs)), release: () => model.release() };
}

function feedsOf({ heads, width }: LayerShape, { n, q, k, v }: LayerInputs): Feeds {
  const tensor = (data: Float32Array) => ({ type: 'float32', dims: [1, n, heads * width], data });
  return { q: tensor(q), k: tensor(k), v: tensor(v) };
}

/** The i-th `calibration.tokens` tokens. */
function piece({ heads, width }: LayerShape, { q, k, v }: LayerInputs, i: number): LayerInputs {
  const size = calibration.tokens * heads * width;
  const [a, b, c] = [q, k, v].map((x) => x.slice(i * size, (i + 1) * size));
  return { n: calibration.tokens, q: a, k: b, v: c };
}
