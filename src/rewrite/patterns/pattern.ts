import type { NodeProto } from '../../onnx/gen/onnx.js';
import type { Graph, Model } from '../../onnx/graph.js';
import type { Shapes } from '../../onnx/shapes.js';
import type { Reader } from '../prove/rule.js';
import type { Operands, Proof, Site } from '../site.js';

/** What a pattern may look at: the whole model, the graph the node stands in, and what is proven of its values. */
export interface Scope {
  readonly model: Model;
  readonly graph: Graph;
  readonly shapes: Shapes;
  /** Masks that were proven already: the layers of a model share theirs. */
  readonly proofs: Map<string, Proof>;
  /** What is known of the elements of masks, by the sizes of the scores that they are for. */
  readonly readers: Map<string, Reader>;
}

/** What the structure alone tells, before anything is proven of heads, masks and sizes. */
export type Outcome<Found> =
  | { readonly found: Found }
  /** Not attention at all (a Softmax over classes, say): nothing to report. */
  | { readonly unrelated: true }
  | { readonly expected: string; readonly but: string }
  /** Known not to be rewritten; `site` is the attention it is, where exact plans can do it, bias and all. */
  | { readonly refused: string; readonly site?: CheckedSite };

/** One published form of attention. Both functions are pure; what check learns it returns in the site. */
export interface Pattern<Match = unknown> {
  readonly summary: string;
  /** `domain.Op` names a match hangs on; the standard domain is left out. */
  readonly anchors: readonly string[];
  pattern(node: NodeProto, scope: Scope): Outcome<Match>;
  check(match: Match, node: NodeProto, scope: Scope): Outcome<CheckedSite>;
}

/** A site less what find() adds itself. */
export type CheckedSite = Omit<Site, 'node' | 'op' | 'domain' | 'output' | 'subgraph' | 'form'> & {
  readonly operands: Operands;
};

/** A pattern as the finder uses it: its match type is its own affair. */
export interface AnyPattern extends Pick<Pattern, 'summary' | 'anchors'> {
  find(node: NodeProto, scope: Scope): Outcome<CheckedSite>;
}

export function definePattern<Match>(pattern: Pattern<Match>): AnyPattern {
  return {
    summary: pattern.summary,
    anchors: pattern.anchors,
    find(node, scope) {
      const outcome = pattern.pattern(node, scope);
      return 'found' in outcome ? pattern.check(outcome.found, node, scope) : outcome;
    },
  };
}
