import { PerformersError } from '../errors.js';
import { type Builder, builder, constantPool } from '../onnx/build.js';
import type { GraphProto, ModelProto, NodeProto } from '../onnx/gen/onnx.js';
import { allGraphs, type Graph, type Model } from '../onnx/graph.js';
import { readTensor } from '../onnx/tensor.js';
import { keepsState } from './assign-plans.js';
import { besideEach } from './branches.js';
import { correctProduct, type ShortGate, scopeOf } from './correction.js';
import { lowerSite } from './lower-site.js';
import { formatPlan, type HeadGroup, type SiteConstants, type SitePlan, sameGroups } from './plan.js';
import { listRewritten, metadataKey } from './rewritten.js';
import type { Site } from './site.js';
import { checkReaders, declareGiven, declareStates, lengthReaders, lengthsRead } from './state-interface.js';
import { type SharedState, sharedState } from './state-row.js';
import {
  encodeNode,
  encodeValueInfo,
  type GraphChange,
  interfaceOf,
  type Removed,
  type Undo,
  withBodies,
} from './undo.js';
import { whenShort } from './when-short.js';

/** Of onnxruntime's own operators; all of them are of version 1. */
const ownDomain = 'com.microsoft';

/**
 * Replaces the sites of a model by their plans: new nodes where each context was computed, what is then dead taken
 * out (onnxruntime runs dead nodes). Pure: the given model keeps its nodes; unchanged parts are shared with it.
 */
export function applyPlans(model: Model, plans: readonly SitePlan[]): { proto: ModelProto; undo: Undo } {
  const prefix = freshPrefix(model);
  const pool = constantPool(prefix);
  const build = makeBuilder(model, prefix, pool);
  const lowered = new Map<NodeProto, NodeProto[]>();
  checkBranches(plans);
  const shared = statesByStream(model, plans, prefix);
  for (const plan of plans)
    for (const [value, nodes] of lowerSite(plan, build, shared(plan))) {
      const node = nodeOf(model, plan.site, value);
      lowered.set(node, [...(lowered.get(node) ?? []), ...nodes]);
    }
  const scope = scopeOf(model, plans);
  for (const { site, exactUpTo, corrections = [] } of plans)
    for (const correction of corrections) {
      const own = build.body();
      const gate: ShortGate | undefined =
        exactUpTo === undefined
          ? undefined
          : (short, long, counted) =>
              whenShort(own, site, exactUpTo, {
                short,
                long,
                counted,
                output: (name) => ({ name, metadataProps: [] }),
              });
      correctProduct(own, scope, { correction, site, whenShort: gate });
      lowered.set(nodeOf(model, site, correction.product), [...own.nodes]);
    }
  const states = plans.filter(keepsState).map(({ site }) => site);
  for (const { graph, instead } of lengthsRead(model, states, prefix))
    for (const [node, nodes] of lengthReaders(graph, instead, build.body())) lowered.set(node, nodes);
  const changes: GraphChange[] = [];
  const read = valuesRead([...lowered.values()].flat());
  const rewritten = rewriteGraph(model.graph, { lowered, read, changes, states: byGraph(states), prefix });
  const graph = states.length > 0 ? withStates(rewritten, states, prefix) : rewritten;
  const { irVersion = 0n } = model.proto;
  const imported = importsMissing(model, [...lowered.values()].flat());
  const proto = {
    ...model.proto,
    graph: { ...graph, initializer: [...graph.initializer, ...pool.initializers.map(({ bytes }) => bytes)] },
    opsetImport: [...model.proto.opsetImport, ...imported.map((domain) => ({ domain, version: 1n }))],
    // Before IR 4 every initializer had to be listed as an input too.
    irVersion: irVersion < 4n ? 4n : irVersion,
  };
  const before = proto.metadataProps.find(({ key }) => key === metadataKey);
  const value = JSON.stringify([
    ...listRewritten(proto),
    ...plans.map(({ site, groups, corrections = [] }) => ({
      output: site.output,
      ...(site.subgraph && { subgraph: site.subgraph }),
      plans: groups.map(describeGroup(site)),
      ...(corrections.length > 0 && { corrected: corrections.map(({ product }) => product) }),
    })),
  ]);
  proto.metadataProps = [...proto.metadataProps.filter((entry) => entry !== before), { key: metadataKey, value }];
  const undo: Undo = {
    schema: 'performers.undo/1',
    prefix,
    ...(model.proto.irVersion !== undefined && { irVersion: String(irVersion) }),
    constants: pool.initializers.length,
    ...(before && { metadata: before.value }),
    graphs: changes,
    ...(states.length > 0 && { interface: interfaceOf(model.graph.proto) }),
    ...(imported.length > 0 && { imported }),
    ...(model.inlined && {
      inlined: {
        prefix: model.inlined.prefix,
        calls: model.inlined.calls.map(([index, node]) => [index, encodeNode(node)] as const),
      },
    }),
  };
  return { proto, undo };
}

/** Whether new nodes, or those in their bodies, are of onnxruntime's own operators and the model imports none of them. */
function importsMissing({ opsets }: Model, nodes: readonly NodeProto[]): string[] {
  const isOwn = ({ domain, attribute }: NodeProto): boolean =>
    domain === ownDomain || attribute.some(({ g, graphs }) => (g ? [g] : graphs).some(({ node }) => node.some(isOwn)));
  return !opsets.has(ownDomain) && nodes.some(isOwn) ? [ownDomain] : [];
}

/**
 * Layers whose caches are declared of one length belong to one stream, and share what depends on lengths alone; branches of an
 * If see no values of each other.
 */
function statesByStream(model: Model, plans: readonly SitePlan[], prefix: string): (plan: SitePlan) => SharedState {
  const inputs = new Map(model.graph.proto.input.map((info) => [info.name, info]));
  const streamOf = ({ site }: SitePlan) => {
    const type = inputs.get(site.operands.cache?.past.key)?.type?.value;
    const dim = type?.$case === 'tensorType' ? type.value.shape?.dim[2]?.value : undefined;
    return dim?.$case === 'dimParam' ? `${site.subgraph} ${dim.value}` : undefined;
  };
  const states = new Map<string, SharedState>();
  return (plan) => {
    const name = streamOf(plan);
    const known = name === undefined ? undefined : states.get(name);
    if (known) return known;
    const own = sharedState(
      plans.filter((other) => other === plan || (name !== undefined && streamOf(other) === name)),
      prefix,
    );
    if (name !== undefined) states.set(name, own);
    return own;
  };
}

/** The main graph with its inputs and outputs declared as the states they are. */
function withStates(graph: GraphProto, states: readonly Site[], prefix: string): GraphProto {
  for (const { subgraph, operands } of states) {
    if (!operands.cache) continue;
    const { past, present } = operands.cache;
    checkReaders(graph.node, past, prefix);
    // Branches call their own keys what the If that gives them out calls its outputs.
    checkReaders(
      subgraph ? graph.node.filter(({ output }) => !output.includes(present.key)) : graph.node,
      present,
      prefix,
    );
  }
  const declare = declareStates(states);
  return { ...graph, input: graph.input.map(declare), output: graph.output.map(declare) };
}

/** @throws PerformersError PF206 where a branch would be handed a state that it does not keep itself */
function checkBranches(plans: readonly SitePlan[]): void {
  const beside = besideEach(plans.map(({ site }) => site));
  const bySite = new Map(plans.map((plan) => [plan.site, plan]));
  for (const plan of plans) {
    const { cache } = plan.site.operands;
    if (!plan.site.subgraph || !cache || !keepsState(plan)) continue;
    const others = beside(plan.site).flatMap((site) => bySite.get(site) ?? []);
    const agree = (other: SitePlan) => sameGroups(plan, other) && sameConstants(plan.constants, other.constants);
    if (others.length > 0 && others.every(agree)) continue;
    throw new PerformersError('PF206', `${cache.past.value} would hold a state that only one branch keeps`, {
      at: `${plan.site.output} in ${plan.site.subgraph}`,
      mend: 'give the same plan and constants to the layer in both branches, or leave it exact in both',
    });
  }
}

function sameConstants(a: SiteConstants = {}, b: SiteConstants = {}): boolean {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return names.every((name) => a[name]?.length === b[name]?.length && a[name]?.every((x, i) => x === b[name]?.[i]));
}

const describeGroup = (site: Site) => (group: HeadGroup) =>
  group.heads.length === site.heads ? formatPlan(group.plan) : { heads: group.heads, plan: formatPlan(group.plan) };

/** `performers/`, or with a number if anything in the model is called so already (a model rewritten before). */
function freshPrefix(model: Model): string {
  const taken = new Set<string>();
  const take = (name: string) => taken.add(name.split('/', 1)[0] ?? '');
  for (const graph of allGraphs(model.graph)) {
    for (const node of graph.nodes) for (const name of [node.name ?? '', ...node.input, ...node.output]) take(name);
    for (const bytes of graph.proto.initializer) take(readTensor(bytes).name);
    for (const { name = '' } of [...graph.proto.input, ...graph.proto.output]) take(name);
  }
  for (let i = 1; ; i++)
    if (!taken.has(i === 1 ? 'performers' : `performers${i}`)) return i === 1 ? 'performers/' : `performers${i}/`;
}

/** The node that computes a value of a site's, which its lowering takes the place of. */
function nodeOf(model: Model, { subgraph, output }: Site, value: string): NodeProto {
  const home = allGraphs(model.graph).find((graph) => graph.path === subgraph && graph.producer(output));
  const node = home?.producer(value);
  if (!node) throw new TypeError(`site ${output} is not of this model`);
  return node;
}

function makeBuilder(model: Model, prefix: string, pool: ReturnType<typeof constantPool>): Builder {
  return builder(model.opsets.get('') ?? 1, prefix, pool);
}

interface Work {
  /** New nodes by the node that computed the context they replace. */
  readonly lowered: ReadonlyMap<NodeProto, readonly NodeProto[]>;
  /** Every value the new nodes read. */
  readonly read: ReadonlySet<string>;
  readonly changes: GraphChange[];
  /** Sites that keep a state, by the path of their graph. */
  readonly states: ReadonlyMap<string, readonly Site[]>;
  readonly prefix: string;
}

function byGraph(sites: readonly Site[]): Map<string, Site[]> {
  const found = new Map<string, Site[]>();
  for (const site of sites) {
    const beside = found.get(site.subgraph);
    if (beside) beside.push(site);
    else found.set(site.subgraph, [site]);
  }
  return found;
}

function rewriteGraph(graph: Graph, work: Work): GraphProto {
  const replaced = graph.nodes.filter((node) => work.lowered.has(node));
  const branch = graph.outer ? (work.states.get(graph.path) ?? []) : [];
  const withdrawn = branch.flatMap(({ operands: { cache } }) => (cache ? [cache.given.key, cache.given.value] : []));
  const dead = deadAfter(graph, { replaced, withdrawn, kept: work.read });
  const nodes: NodeProto[] = [];
  const removed: Removed[] = [];
  let touched = false;
  for (const [index, node] of graph.nodes.entries()) {
    const lowered = work.lowered.get(node);
    if (lowered) nodes.push(...lowered);
    if (lowered || dead.has(node)) {
      removed.push([index, encodeNode(node)]);
      continue;
    }
    // Only of nodes that stay: what is removed is recorded as it was, with all that is in it.
    const bodies = graph.subgraphs(node).map((body) => rewriteGraph(body, work));
    const changed = bodies.some((body, i) => body !== graph.subgraphs(node)[i]?.proto);
    nodes.push(changed ? withBodies(node, bodies) : node);
    touched ||= changed;
  }
  if (replaced.length === 0 && !touched) return graph.proto;
  for (const { operands } of branch)
    if (operands.cache && !operands.cache.begins) checkReaders(nodes, operands.cache.given, work.prefix);
  const gone = new Set([...dead].flatMap((node) => node.output));
  const stale = [...graph.proto.valueInfo.entries()].filter(([, { name = '' }]) => gone.has(name));
  const { output } = graph.proto;
  if (removed.length > 0) {
    work.changes.push({
      path: graph.path,
      removed,
      valueInfo: stale.map(([index, info]) => [index, encodeValueInfo(info)]),
      ...(branch.length > 0 && { output: output.map(encodeValueInfo) }),
    });
  }
  return {
    ...graph.proto,
    node: nodes,
    valueInfo: graph.proto.valueInfo.filter(({ name = '' }) => !gone.has(name)),
    output: branch.length > 0 ? output.map(declareGiven(branch, work.prefix)) : output,
  };
}

/**
 * Nodes that nothing reads any more once the context nodes are replaced, and outputs are withdrawn; what was dead before is not
 * ours to judge.
 */
function deadAfter(
  graph: Graph,
  {
    replaced,
    withdrawn,
    kept,
  }: { replaced: readonly NodeProto[]; withdrawn: readonly string[]; kept: ReadonlySet<string> },
): Set<NodeProto> {
  const dead = new Set<NodeProto>();
  const gone = new Set<NodeProto>(replaced);
  const given = new Set(withdrawn);
  const isRead = (value: string) =>
    kept.has(value) ||
    (graph.isOutput(value) && !given.has(value)) ||
    graph.consumers(value).some((reader) => !gone.has(reader));
  const queue = [...withdrawn, ...replaced.flatMap(({ input }) => input)];
  for (let value = queue.pop(); value !== undefined; value = queue.pop()) {
    const producer = graph.producer(value);
    if (!producer || gone.has(producer) || producer.output.some(isRead)) continue;
    gone.add(producer);
    dead.add(producer);
    queue.push(...producer.input);
  }
  return dead;
}

/** Every value that nodes read, those of their subgraphs included. */
function valuesRead(nodes: readonly NodeProto[], values = new Set<string>()): Set<string> {
  for (const node of nodes) {
    for (const input of node.input) values.add(input);
    for (const { g } of node.attribute) if (g) valuesRead(g.node, values);
  }
  return values;
}
