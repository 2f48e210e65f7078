import type { Expr } from '../onnx/expr.js';
import type { Layout } from './layout.js';

/**
 * One attention site: softmax(gain · q·kᵀ + bias)·v somewhere in a graph, described once, in the terms every
 * lowering reads. What is listed first is what `inspect` prints; `operands` is what the rewrite needs.
 */
export interface Site {
  /** Name of the anchor node (Softmax or a fused operator); not always unique, `output` with `subgraph` is. */
  readonly node: string;
  readonly op: string;
  readonly domain: string;
  /** First output of the anchor node. */
  readonly output: string;
  /** Path of `If node/branch`, joined by `::`; empty at the top level. */
  readonly subgraph: string;
  readonly kind: 'self' | 'cross';
  readonly causal: boolean;
  /** `none`, or any of alibi, sliding, causal, padding, joined by `+`; `bias` where it is none of these (a refusal's site). */
  readonly mask: string;
  readonly heads: number;
  readonly kvHeads: number;
  /** Width of a query and key head, and of a value head. */
  readonly headDim: number;
  readonly valueDim: number;
  /** Factor of q·k as computed, wherever the graph applies it. */
  readonly scale: number;
  readonly positional: 'none' | 'rope' | 'alibi';
  readonly pastKeyValues: boolean;
  /** Which pattern of the registry found it. */
  readonly form: string;
  readonly operands: Operands;
}

/**
 * The tensors of a site. k and v have `kvHeads` heads, query head h reading head ⌊h · kvHeads / heads⌋. Where the site is
 * causal, query i stands at position i + S − N, and the bias hides every later key. q, k and v carry whatever scale the graph put on them; `gain` is what is left to apply to
 * the product. Replacing the value `context.value` by the result of a lowering replaces the attention.
 */
export interface Operands {
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  readonly gain: number;
  /** Factors that q and k carry already; scale = gain · scaled.q · scaled.k. Feature maps need the balance. */
  readonly scaled: { readonly q: number; readonly k: number };
  /** Factors and Transposes right before the product, for plans that must round as the model does. */
  readonly near?: { readonly q?: NearSteps; readonly k?: NearSteps };
  /** Queries and keys are one sequence, or proven to be of one length: "the keys around a query" means something. */
  readonly aligned: boolean;
  /** The tokens are patches of an image, row by row, behind `prefix` others (grid.ts). */
  readonly grid?: PatchGrid;
  /** Additive bias on the scores, which depends on the key alone: [B or 1, 1, 1, S]. Present whenever `mask` is padding. */
  readonly keyBias?: Expr;
  /**
   * All that is added to the scores, as the graph computes it, of rank 4 and broadcastable to [B,H,N,S]. Exact plans add
   * it whole or cut by query blocks; linear plans read `keyBias` and the proven structure below instead. Absent where
   * `keyBias` says it all.
   */
  readonly bias?: Expr;
  /** Rows that `bias` leaves no key (NaN after the softmax) are zeros: the graph guards its probabilities so. */
  readonly guarded?: boolean;
  /** Keys a query sees besides itself where the mask is sliding: `left` before it, `right` after it (0 when causal). */
  readonly sliding?: { readonly left: number; readonly right: number };
  /** ALiBi's slope of each head; the bias is −slope · (distance to the query). */
  readonly slopes?: readonly number[];
  /**
   * QDQ models round scores and probabilities to integers on the way; exact plans must do so, too, to give the model's
   * own answers. Both are functions of one tensor (`hole`); `scores` includes `gain`.
   */
  readonly rounding?: { readonly scores: Expr; readonly probabilities: Expr };
  readonly context: { readonly value: string; readonly layout: Layout };
  /** The key cache, where the graph takes it in and gives it out in plain sight. */
  readonly cache?: KeyCache;
  /** Outputs of a fused operator besides the context (its key cache), which a rewrite must go on producing. */
  readonly present?: readonly { readonly value: string; readonly expr: Expr }[];
  /** ONNX element type of q, k and v: 1 float32, 10 float16, 11 float64. */
  readonly elemType: number;
}

/** A key cache that the model takes in and gives out, and how a site goes on with it. */
export interface KeyCache {
  /** Inputs of the model [B,G,P,D] and [B,G,P,E] that new keys and values are joined to. */
  readonly past: KeysAndValues;
  /** Outputs of the model with both. */
  readonly present: KeysAndValues;
  /** What the site's own graph gives out there: `present`, or outputs of the branch of an If that it lies in. */
  readonly given: KeysAndValues;
  /** In the branch of a merged decoder that begins a text: it gives out new keys alone, whatever goes in as `past`. */
  readonly begins?: boolean;
  /** How many new tokens there are [], and their keys and values. */
  readonly tokens: Expr;
  readonly k: Operand;
  readonly v: Operand;
  /** Hides those of the new tokens that are padding: [B or 1, 1, 1, N]. */
  readonly keyBias?: Expr;
}

/** Names of values. */
export interface KeysAndValues {
  readonly key: string;
  readonly value: string;
}

/** Where a vision model's patches are counted. */
export interface PatchGrid {
  /** Value whose last two axes are the rows and columns of patches. */
  readonly value: string;
  /** Tokens before the first patch. */
  readonly prefix: number;
}

/** A tensor [B,H,N,D] of the graph, and what the graph does to it before the product, as a function of it (`hole`). */
export interface NearSteps {
  readonly base: string;
  readonly steps: Expr;
}

export interface Operand {
  readonly expr: Expr;
  readonly layout: Layout;
}

/** What is proven of a mask, or why nothing is. */
export type Proof = { readonly found: ProvenMask } | { readonly refused: string };
export type ProvenMask = Pick<Site, 'causal' | 'mask'> & Pick<Operands, 'keyBias' | 'sliding' | 'slopes'>;

/** The key head that a query head reads. */
export function keyHeadOf({ heads, kvHeads }: Pick<Site, 'heads' | 'kvHeads'>, head: number): number {
  return Math.floor((head * kvHeads) / heads);
}

/** A Softmax or fused node that has the outline of attention but is left alone: where it differs, and how. */
export interface NearMiss {
  readonly node: string;
  readonly output: string;
  readonly subgraph: string;
  readonly expected: string;
  readonly found: string;
}

/** A node that is known not to be rewritten, with the reason. */
export interface Refusal {
  readonly node: string;
  readonly output: string;
  readonly subgraph: string;
  readonly reason: string;
  /**
   * The attention it is, where it is softmax(q·k + bias)·v with a bias nothing is proven of (mask `bias`): exact plans
   * can take it, no others.
   */
  readonly site?: Site;
}

export interface Findings {
  readonly sites: readonly Site[];
  readonly nearMisses: readonly NearMiss[];
  readonly refusals: readonly Refusal[];
}
