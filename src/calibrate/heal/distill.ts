/**
 * Short distillation: the projections q, k, v and o around linear attention, corrected by matrices of low rank (Hu et al. 2021,
 * LoRA: D from N(0, 1/K), U = 0, so that training starts at no change), trained by Adam against the original's output.
 *
 *   loss = |y − t|² / |t|²        y the patched model's first output on an input, t the original's
 *
 * The patched graph itself is what is differentiated, by @jax-js/onnx, with the factors as inputs (concrete.ts): there is no second
 * definition of the model. The graph is for inputs of one size; of others the most frequent are taken.
 */
import { PerformersError } from '../../errors.js';
import { gaussians, streamSeed } from '../../features/rng.js';
import { type Block, descend } from '../../learn/descend.js';
import { type Jax, type JaxArray, loadJax, loadJaxOnnx } from '../../learn/peer.js';
import { concat, encode } from '../../onnx/encode.js';
import { extractValues } from '../../onnx/expose.js';
import type { ModelProto, NodeProto } from '../../onnx/gen/onnx.js';
import { type Graph, openModel } from '../../onnx/graph.js';
import { makeValueInfo } from '../../onnx/message.js';
import { inferShapes } from '../../onnx/shapes.js';
import { applyPlans } from '../../rewrite/apply.js';
import { countsTokens, joinCorrections } from '../../rewrite/correction.js';
import { type Correction, fallback, readPlan, type SitePlan } from '../../rewrite/plan.js';
import { savePlan } from '../../rewrite/saved-plan.js';
import type { Feeds, SessionFactory, TensorLike } from '../../session.js';
import { feedsOf } from '../record.js';
import { withChoices } from './choices.js';
import { concretise } from './concrete.js';
import { type HealContext, type Healed, trainingDefaults } from './context.js';
import { projectionsOf } from './projections.js';

/** Trains the corrections themselves. */
export function distill(plans: readonly SitePlan[], context: HealContext): Promise<Healed> {
  const { steps, rank, rate, seed } = { ...trainingDefaults, ...context.training };
  const checkpoint = context.checkpoint?.training(
    `distill ${steps} ${rank} ${rate} ${seed} ${JSON.stringify(savePlan(plans))}`,
  );
  return train(plans, context, (task) => descend(task.jax, { ...task, checkpoint }));
}

export interface Task {
  readonly jax: Jax;
  readonly parameters: readonly Block[];
  readonly loss: (parameters: JaxArray[], inputs: JaxArray[]) => JaxArray;
  readonly batch: (step: number) => readonly Block[];
  readonly steps: number;
  readonly rate: number;
  readonly onStep: (step: number, loss: number) => void;
}

/** Trains corrections of the projections of all linear layers as `solve` will have it; they are kept beside the weights. */
export async function train(
  plans: readonly SitePlan[],
  context: HealContext,
  solve: (task: Task) => Promise<Float32Array[]>,
): Promise<Healed> {
  const { model, createSession, onStep } = context;
  const { steps, rate } = { ...trainingDefaults, ...context.training };
  const alike = mostFrequent(context.inputs);
  const { corrections, left } = startingCorrections(plans, context);
  const count = [...corrections.values()].flat().length;
  if (count === 0) return { plans, left: [...left, 'everything: no projection of it can be corrected'] };
  const corrected = plans.map((plan) => forTraining(plan, corrections.get(plan) ?? []));
  const { proto, parameters } = withInputs(applyPlans(model, corrected).proto, [...corrections.values()].flat());
  const [first = ''] = openModel(model.proto).proto.graph?.output.map(({ name = '' }) => name) ?? [];
  const values = Object.fromEntries(
    parameters.map(({ name, shape, data }) => [name, { type: 'float32', dims: shape, data }]),
  );
  const chosen = await withChoices(proto, first, { inputs: alike, parameters: values, createSession });
  const { inputs } = chosen;
  const student = await concretise(chosen.proto, { ...inputs[0], ...values }, createSession);
  const teacher = await answers(extractValues(model.proto, [first]), alike, createSession);
  const [jax, { ONNXModel }] = [await loadJax(), await loadJaxOnnx()];
  const { numpy: np } = jax;
  const trained = new ONNXModel(new Uint8Array(concat(encode(student))));
  const taken = student.graph?.input.map(({ name = '' }) => name) ?? [];
  const fed = Object.keys(inputs[0]).filter((name) => taken.includes(name));
  let understood = false;
  try {
    const found = await solve({
      jax,
      parameters,
      steps,
      rate,
      loss(arrays, [target, weight, ...fedArrays]) {
        const given = [
          ...parameters.map(({ name }, i) => [name, arrays[i]] as const),
          ...fed.map((name, i) => [name, fedArrays[i]] as const),
        ];
        const output = trained.run(Object.fromEntries(given))[first];
        return np.sum(np.square(output.sub(target))).mul(weight);
      },
      batch: (step) => batchOf(inputs[step % inputs.length], teacher[step % inputs.length], fed),
      onStep(step, loss) {
        understood = true;
        onStep(`step ${step}, loss ${loss.toExponential(2)}`);
      },
    });
    const named = new Map(parameters.map(({ correction, part }, i) => [`${correction.product} ${part}`, found[i]]));
    const done = (correction: Correction): Correction => ({
      ...correction,
      down: named.get(`${correction.product} down`) ?? correction.down,
      up: named.get(`${correction.product} up`) ?? correction.up,
      bias: named.get(`${correction.product} bias`) ?? correction.bias,
    });
    const healed = plans.map((plan) => added(plan, (corrections.get(plan) ?? []).map(done)));
    return { plans: healed, ...(left.length > 0 && { left }) };
  } catch (cause) {
    if (cause instanceof PerformersError || understood) throw cause;
    // An operator or a number format that @jax-js/onnx does not know: healing is optional, and is left with the reason.
    const why = cause instanceof Error ? cause.message : String(cause);
    return { plans, left: [...left, `everything: @jax-js/onnx can't differentiate this model: ${why}`] };
  } finally {
    trained.dispose();
  }
}

/** The inputs of the size that most have. */
function mostFrequent(inputs: readonly Feeds[]): Feeds[] {
  const bySize = new Map<string, Feeds[]>();
  for (const feeds of inputs) {
    const size = Object.entries(feeds)
      .map(([name, { dims }]) => `${name} ${dims.join()}`)
      .join();
    bySize.set(size, [...(bySize.get(size) ?? []), feeds]);
  }
  return [...bySize.values()].reduce((a, b) => (b.length > a.length ? b : a), []);
}

/** No change, and a direction for every projection of a linear layer. */
function startingCorrections(plans: readonly SitePlan[], { model, training }: HealContext) {
  const { rank, seed } = { ...trainingDefaults, ...training };
  const scope = { graph: model.graph, shapes: inferShapes(model) };
  const corrections = new Map<SitePlan, Correction[]>();
  const left: string[] = [];
  const taken = new Set<string>();
  let drawn = 0;
  for (const [layer, plan] of plans.entries()) {
    if (plan.groups.every((group) => group.plan.name === fallback) || plan.site.subgraph !== '') continue;
    const own = projectionsOf(scope, plan.site).filter(({ value }) => !taken.has(value));
    const usable = own.filter((product) => plan.exactUpTo === undefined || countsTokens(scope, plan.site, product));
    if (usable.length < own.length || own.length === 0)
      left.push(
        `layer ${layer}: ${own.length - usable.length || 'all'} of its projections can't tell short inputs or are no constant products`,
      );
    for (const { value } of usable) taken.add(value);
    corrections.set(
      plan,
      usable.map(({ value, rows, columns }) => {
        const normal = gaussians(streamSeed(seed, drawn++));
        const small = Math.min(rank, rows, columns);
        const down = Float32Array.from({ length: rows * small }, () => normal() / Math.sqrt(rows));
        return {
          product: value,
          rank: small,
          down,
          up: new Float32Array(small * columns),
          bias: new Float32Array(columns),
        };
      }),
    );
  }
  return { corrections, left };
}

/** Linear whatever the length, and exact heads in one piece, which @jax-js/onnx knows. */
function forTraining({ exactUpTo: _, ...plan }: SitePlan, more: readonly Correction[]): SitePlan {
  const groups = plan.groups.map((group) =>
    group.plan.name === fallback ? { ...group, plan: readPlan('exact') } : group,
  );
  return { ...plan, groups, corrections: [...(plan.corrections ?? []), ...more] };
}

function added(plan: SitePlan, more: readonly Correction[]): SitePlan {
  if (more.length === 0) return plan;
  const corrections = [...(plan.corrections ?? [])];
  for (const correction of more) {
    const at = corrections.findIndex(({ product }) => product === correction.product);
    if (at < 0) corrections.push(correction);
    else corrections[at] = joinCorrections(corrections[at], correction);
  }
  return { ...plan, corrections };
}

interface Parameter extends Block {
  readonly name: string;
  readonly correction: Correction;
  readonly part: 'down' | 'up' | 'bias';
  readonly data: Float32Array;
}

/** The factors and biases of corrections as inputs of the graph, each of its own: equal constants may be one. */
function withInputs(
  proto: ModelProto,
  corrections: readonly Correction[],
): { proto: ModelProto; parameters: Parameter[] } {
  const { graph } = openModel(proto);
  const rewired = new Map<NodeProto, string[]>();
  const parameters = corrections.flatMap((correction, i) => {
    const { rank, down, up, bias, product } = correction;
    const of = (part: Parameter['part'], shape: number[]): Parameter => {
      return { name: `heal/${i}.${part}`, shape, data: correction[part], correction, part };
    };
    const own = [of('down', [down.length / rank, rank]), of('up', [rank, up.length / rank]), of('bias', [bias.length])];
    const { sum, factors } = correctionNodes(graph, product);
    rewired.set(factors, [own[0].name, own[1].name]);
    rewired.set(sum, [sum.input[0] ?? '', own[2].name]);
    return own;
  });
  const node = graph.nodes.map((each) => ({ ...each, input: rewired.get(each) ?? each.input }));
  const inputs = parameters.map(({ name, shape }) => makeValueInfo(name, 1, [...shape]));
  return { proto: { ...proto, graph: { ...graph.proto, input: [...graph.proto.input, ...inputs], node } }, parameters };
}

/** What correctProduct built, read back: the sum with b, and the product of D and U. */
function correctionNodes(graph: Graph, product: string): { sum: NodeProto; factors: NodeProto } {
  const sum = graph.producer(product);
  const weight = graph.producer(graph.producer(sum?.input[0] ?? '')?.input[1] ?? '');
  let factors = graph.producer(weight?.input[1] ?? '');
  while (factors && factors.opType !== 'MatMul') factors = graph.producer(factors.input[0] ?? '');
  if (!sum || !factors) throw new TypeError(`${product} is not corrected`);
  return { sum, factors };
}

async function answers(
  proto: ModelProto,
  inputs: readonly Feeds[],
  createSession: SessionFactory,
): Promise<TensorLike[]> {
  const session = await createSession(concat(encode(proto)));
  try {
    const found: TensorLike[] = [];
    for (const feeds of inputs) {
      const outputs = await session.run(feedsOf(feeds, session.inputNames));
      found.push(outputs[session.outputNames[0]]);
    }
    return found;
  } finally {
    await session.release();
  }
}

/** The target, the weight that makes the loss relative, and the inputs of a step. */
function batchOf(feeds: Feeds, { dims, data }: TensorLike, fed: readonly string[]): Block[] {
  const target = Float32Array.from(data as ArrayLike<number>);
  const energy = target.reduce((sum, x) => sum + x * x, 0);
  return [
    { shape: dims, data: target },
    { shape: [], data: Float32Array.of(1 / Math.max(energy, Number.MIN_VALUE)) },
    ...fed.map((name): Block => {
      const { type, dims: shape, data: numbers } = feeds[name];
      const plain = Array.from<number | bigint | string, number>(numbers, Number);
      return { shape, data: type === 'float32' ? Float32Array.from(plain) : Int32Array.from(plain) };
    }),
  ];
}
