import type { NodeProto } from '../onnx/gen/onnx.js';
import { allGraphs, domainOf, type Graph, type Model, operatorName } from '../onnx/graph.js';
import { inferShapes, type Shapes } from '../onnx/shapes.js';
import { inAllBranches } from './branches.js';
import { findGrids, gridOf } from './grid.js';
import type { AnyPattern, CheckedSite, Scope } from './patterns/pattern.js';
import { patterns } from './patterns/registry.js';
import { readRewritten } from './rewritten.js';
import type { Findings, NearMiss, Proof, Refusal, Site } from './site.js';

/** Heads × width beyond which constants for them are memory, not attention: the widest model published has 32,768. */
const widest = 2 ** 15;

/**
 * All attention sites of a model, subgraphs included, in graph order, with what looks like attention and is left
 * alone. Pure; runs nothing.
 */
export function findAttention(model: Model): Findings {
  const shapes = inferShapes(model);
  const sites: Site[] = [];
  const nearMisses: NearMiss[] = [];
  const refusals: Refusal[] = [];
  const byAnchor = indexPatterns();
  const rewritten = readRewritten(model.proto);
  for (const { output, subgraph, plans } of rewritten.sites)
    refusals.push({
      node: output,
      output,
      subgraph,
      reason: `it was rewritten by performers (${plans}): restore the model first to plan it anew`,
    });
  const readers: Scope['readers'] = new Map();
  const proofs = new Map<string, Proof>();
  for (const graph of allGraphs(model.graph)) {
    const scope: Scope = { model, graph, shapes, proofs, readers };
    for (const node of graph.nodes) {
      // What nothing can read is no attention, whatever it is called.
      if (!node.output[0] || rewritten.isOurs(node.output[0])) continue;
      for (const [form, pattern] of byAnchor.get(operatorName(node)) ?? []) {
        const at = { node: node.name ?? '', output: node.output[0], subgraph: graph.path };
        const outcome = findAt(pattern, node, scope);
        const whole = (site: CheckedSite): Site => ({
          ...at,
          op: node.opType ?? '',
          domain: domainOf(node),
          form,
          ...site,
        });
        const odd = 'found' in outcome ? oddity(outcome.found, graph) : undefined;
        if (odd) refusals.push({ ...at, reason: odd });
        else if ('found' in outcome) sites.push(whole(outcome.found));
        else if ('but' in outcome) nearMisses.push({ ...at, expected: outcome.expected, found: outcome.but });
        else if ('refused' in outcome) {
          const { refused: reason, site } = outcome;
          refusals.push({ ...at, reason, ...(site && !oddity(site, graph) && { site: whole(site) }) });
        }
      }
    }
  }
  return { sites: inAllBranches(onGrids(model, shapes, sites)), nearMisses, refusals };
}

/** Sites of a vision model learn where their tokens lie. */
function onGrids({ graph }: Model, shapes: Shapes, sites: readonly Site[]): Site[] {
  const grids = findGrids(graph, shapes);
  return sites.map((site) => {
    const grid = grids.length > 0 && site.subgraph === '' ? gridOf(site, graph, shapes, grids) : undefined;
    return grid ? { ...site, operands: { ...site.operands, grid } } : site;
  });
}

/** What no exporter writes and no pattern asks about. */
function oddity({ heads, headDim, valueDim, operands }: CheckedSite, graph: Graph): string | undefined {
  const whole = [heads, headDim, valueDim].every((size) => Number.isInteger(size) && size > 0);
  const sized = whole && heads * Math.max(headDim, valueDim) <= widest;
  if (!sized) return `no model is ${heads} heads × ${headDim} wide, its values ${valueDim}`;
  if (!graph.producer(operands.context.value)) return 'its context is computed in another subgraph';
  const depth = depthOf(graph);
  return depth > deepest ? `it lies within ${depth} subgraphs: what a plan adds could no longer be read` : undefined;
}

/** Readers go 33 subgraphs deep, and a plan adds an If, a Scan and their types. */
const deepest = 28;

function depthOf(graph: Graph): number {
  let depth = 0;
  for (let at = graph.outer; at; at = at.outer) depth += 1;
  return depth;
}

/** Patterns walk by recursion. A chain of nodes that is longer than the stack is deep can be written in a few bytes each. */
function findAt(pattern: AnyPattern, node: NodeProto, scope: Scope): ReturnType<AnyPattern['find']> {
  try {
    return pattern.find(node, scope);
  } catch (error) {
    // RangeError in V8 and JavaScriptCore, InternalError in SpiderMonkey.
    const tooDeep = error instanceof Error && /call stack|recursion/i.test(error.message);
    if (!tooDeep) throw error;
    return { refused: 'it is computed by a longer chain of nodes than can be followed' };
  }
}

function indexPatterns(): Map<string, [string, AnyPattern][]> {
  const byAnchor = new Map<string, [string, AnyPattern][]>();
  for (const [form, pattern] of Object.entries(patterns)) {
    for (const anchor of pattern.anchors) byAnchor.set(anchor, [...(byAnchor.get(anchor) ?? []), [form, pattern]]);
  }
  return byAnchor;
}
