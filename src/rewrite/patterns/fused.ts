/** What the fused forms share: expressions for their masks, their heads and their site. */
import { type Dim, equal, toNumber } from '../../onnx/dims.js';
import type { Expr } from '../../onnx/expr.js';
import { keyOnly, sumOf } from '../mask.js';
import type { Layout, Operands } from '../site.js';
import { isSelf, originOf, sharesSource } from '../trace.js';
import type { CheckedSite, Outcome, Scope } from './pattern.js';

const zero: Expr = { constant: { type: 'float', dims: [], data: [0] } };
const lowest: Expr = { constant: { type: 'float', dims: [], data: [-3.4028234663852886e38] } };

/**
 * A key mask as an additive bias [B,1,1,S]: [B,S] of 0 and 1, or [B] lengths (keys padded on the right), which need
 * a value `keys` [B,S,…] to tell S. Undefined for other forms.
 */
export function keyMaskBias(scope: Scope, mask: string, keys: string): Expr | undefined {
  const rank = scope.shapes(scope.graph, mask).shape?.length;
  if (rank === 2) return additive({ op: 'Cast', inputs: [{ value: mask }], attributes: { to: 9 } });
  if (rank !== 1) return undefined;
  const int = (data: number[], dims: number[]): Expr => ({ constant: { type: 'int64', dims, data } });
  const count: Expr = {
    op: 'Gather',
    inputs: [{ op: 'Shape', inputs: [{ value: keys }] }, int([1], [])],
    attributes: { axis: 0 },
  };
  const positions: Expr = { op: 'Range', inputs: [int([0], []), count, int([1], [])] };
  const lengths: Expr = {
    op: 'Reshape',
    inputs: [{ op: 'Cast', inputs: [{ value: mask }], attributes: { to: 7 } }, int([-1, 1], [2])],
  };
  return additive({ op: 'Less', inputs: [positions, lengths] });
}

/** True: attend. [B,S] → [B,1,1,S] */
function additive(keep: Expr): Expr {
  const bias: Expr = { op: 'Where', inputs: [keep, zero, lowest] };
  return { op: 'Reshape', inputs: [bias, { constant: { type: 'int64', dims: [4], data: [0, 1, 1, -1] } }] };
}

/** A boolean mask (true: attend) as an addend of the scores. */
export function booleanBias(mask: Expr): Expr {
  return { op: 'Where', inputs: [mask, zero, lowest] };
}

/** One part of a value that holds several side by side on its last of three axes. */
export function lastAxisSlice(expr: Expr, axis: number, start: number, end: number): Expr {
  const ints = (value: number): Expr => ({ constant: { type: 'int64', dims: [1], data: [value] } });
  return { op: 'Slice', inputs: [expr, ints(start), ints(end), ints(axis)] };
}

export interface FusedSite {
  readonly q: { readonly expr: Expr; readonly layout: Layout };
  readonly k: { readonly expr: Expr; readonly layout: Layout };
  readonly v: { readonly expr: Expr; readonly layout: Layout };
  /** Values that q and k are read back from to tell self- from cross-attention. */
  readonly origins: { readonly q: string; readonly k: string };
  readonly biases: readonly Expr[];
  readonly heads: number;
  readonly headDim: number | undefined;
  readonly valueDim: number | undefined;
  readonly scale: number | undefined;
  readonly context: { readonly value: string; readonly layout: Layout };
}

/** The site of a fused operator, once its masks are proven. `scale` undefined means 1/√D, the operators' default. */
export function fusedSite(scope: Scope, site: FusedSite): Outcome<CheckedSite> {
  const { heads, headDim, valueDim } = site;
  if (headDim === undefined || valueDim === undefined || !Number.isInteger(headDim) || !Number.isInteger(valueDim)) {
    return {
      expected: 'a fixed head width',
      but: `width ${headDim ?? 'unknown'} of Q and K, ${valueDim ?? 'unknown'} of V`,
    };
  }
  const keys = site.biases.flatMap((bias) => keyOnly(scope, bias) ?? []);
  if (keys.length < site.biases.length) {
    return {
      expected: 'no mask, or a padding mask that depends on the key alone',
      but: 'a bias that is not proven to',
    };
  }
  const [q, k] = [originOf(scope, site.origins.q), originOf(scope, site.origins.k)];
  const gain = site.scale ?? 1 / Math.sqrt(headDim);
  const elemType = scope.shapes(scope.graph, site.origins.q).elemType || 1;
  const same = site.origins.q === site.origins.k || sharesSource(q, k);
  const kind = same || isSelf(scope, q, k) ? 'self' : 'cross';
  const lengthOf = (value: string) => scope.shapes(scope.graph, value).shape?.at(-2);
  const operands: Operands = {
    q: site.q,
    k: site.k,
    v: site.v,
    gain,
    scaled: { q: q.scale, k: k.scale },
    aligned: (same && !k.past) || equal(lengthOf(site.origins.q), lengthOf(site.origins.k)),
    keyBias: sumOf(keys),
    context: site.context,
    elemType,
  };
  return {
    found: {
      kind,
      causal: false,
      mask: operands.keyBias ? 'padding' : 'none',
      heads,
      kvHeads: heads,
      headDim,
      valueDim,
      scale: gain * q.scale * k.scale,
      positional: q.rotary && k.rotary ? 'rope' : 'none',
      pastKeyValues: k.past,
      operands,
    },
  };
}

/** Width of one of `heads` heads that lie side by side on an axis. */
export function headWidth(dim: Dim | undefined, heads: number): number | undefined {
  const width = toNumber(dim);
  return width === undefined ? undefined : width / heads;
}
