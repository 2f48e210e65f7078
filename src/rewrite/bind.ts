import type { Builder } from '../onnx/build.js';
import { type Expr, ints } from '../onnx/expr.js';
import { axisOf, isInOrder, type Layout, leadingAxes, orderOf } from './layout.js';
import { excluded } from './lower/key-set.js';
import type { Inputs } from './lower/lowering.js';
import { maskedBelow } from './prove/cases.js';
import { keyHeadOf, type Operand, type Site } from './site.js';

const [float32, int64] = [1, 7];

/** Nodes that bring a site's tensors into the one layout all lowerings read, for some of its heads. */
export function bindInputs(build: Builder, site: Site, heads: readonly number[]): Inputs {
  const { operands } = site;
  const all = heads.length === site.heads;
  const pick = (value: string) => (all ? value : build.op('Gather', [value, build.int64(heads)], { axis: 1 }));
  const grouped = site.kvHeads !== site.heads;
  // Every query head with a key head of its own, as lowerings expect and as the graph repeats them.
  const own = heads.map((head) => keyHeadOf(site, head));
  const pickKeys = (value: string) =>
    grouped ? build.op('Gather', [value, build.int64(own)], { axis: 1 }) : pick(value);
  const float = (operand: Operand) => toFloat(build, operand.expr, operands.elemType);
  const load = (operand: Operand, width: number) =>
    lazy(() => toHeads(build, float(operand), operand.layout, site.kvHeads, width));
  const swap = (value: string) => build.op('Transpose', [value], { perm: [0, 1, 3, 2] });
  // A key that is transposed for the product already is transposed back only if somebody asks for it.
  const transposed = operands.k.layout === 'bhdn';
  const onceK = transposed ? lazy(() => float(operands.k)) : load(operands.k, site.headDim);
  const onceV = load(operands.v, site.valueDim);
  const stored = lazy(() => pickKeys(onceK()));
  const flipped = lazy(() => swap(stored()));
  const q = lazy(() => pick(toHeads(build, float(operands.q), operands.q.layout, site.heads, site.headDim)));
  const v = lazy(() => pickKeys(onceV()));
  const { bias, keyBias } = operands;
  const finite = keyBias && lazy(() => finiteBias(build, keyBias, operands.elemType));
  const visible = keyBias && finite && lazy(() => visibleKeys(build, keyBias, finite));
  const whole =
    bias && lazy(() => (all ? build.emit(bias) : clampedGather(build, build.emit(bias), build.int64(heads), 1)));
  return {
    get q() {
      return q();
    },
    get k() {
      return transposed ? flipped() : stored();
    },
    get v() {
      return v();
    },
    kT: () => (transposed ? stored() : flipped()),
    byKeyHead: grouped && all ? () => ({ k: transposed ? swap(onceK()) : onceK(), v: onceV() }) : undefined,
    get keyBias() {
      return finite?.();
    },
    get visible() {
      return visible?.();
    },
    bias:
      whole &&
      ((inner, rows) => {
        const part = rows === undefined ? whole() : clampedGather(inner, whole(), rows, 2);
        return operands.elemType === float32 ? part : inner.op('Cast', [part], { to: float32 });
      }),
    gain: operands.gain,
    site,
    heads,
  };
}

/** Elements of an axis by index, or its only one whatever the index: a bias need not spell out heads or queries. */
function clampedGather(build: Builder, value: string, index: string, axis: number): string {
  const length = build.op('Gather', [build.op('Shape', [value]), build.int64([axis])], { axis: 0 });
  const last = build.op('Sub', [length, build.int64([1])]);
  const inside = build.op('Where', [build.op('Less', [index, length]), index, last]);
  return build.op('Gather', [value, inside], { axis });
}

function lazy(make: () => string): () => string {
  let value: string | undefined;
  return () => {
    value ??= make();
    return value;
  };
}

function toFloat(build: Builder, expr: Expr, elemType: number): string {
  const value = build.emit(expr);
  return elemType === float32 ? value : build.op('Cast', [value], { to: float32 });
}

/** Exporters mask with -Infinity or the lowest float; both would make NaN or overflow where biases are added. */
function finiteBias(build: Builder, bias: Expr, elemType: number): string {
  return build.op('Max', [toFloat(build, bias, elemType), build.float([excluded], [])]);
}

/** Without making floats of what is compared, where the bias is one number or another: onnxruntime would do that on a GPU. */
function visibleKeys(build: Builder, bias: Expr, finite: () => string): string {
  const chosen = choiceOf(bias);
  if (chosen) return build.emit(chosen);
  const seen = build.op('Greater', [finite(), build.float([maskedBelow], [])]);
  return build.op('Cast', [seen], { to: int64 });
}

function choiceOf(bias: Expr): Expr | undefined {
  if (!('op' in bias)) return undefined;
  const [first, ...more] = bias.inputs;
  if (bias.op === 'Reshape') {
    const chosen = first && choiceOf(first);
    return chosen && { ...bias, inputs: [chosen, ...more] };
  }
  const sides = more.map((side) => (side && 'constant' in side && side.constant.data.length === 1 ? side : undefined));
  if (bias.op !== 'Where' || !sides.every((side) => side !== undefined)) return undefined;
  const numbers = sides.map(({ constant: { dims, data } }) => ints([data[0] > maskedBelow ? 1 : 0], dims));
  return { ...bias, inputs: [first, ...numbers] };
}

function toHeads(build: Builder, value: string, layout: Layout, heads: number, width: number): string {
  if (layout === 'bn(hd)')
    return toHeads(build, build.op('Reshape', [value, build.int64([0, 0, heads, width])]), 'bnhd', heads, width);
  const perm = orderOf(layout);
  const ordered = isInOrder(perm) ? value : build.op('Transpose', [value], { perm });
  if (leadingAxes(layout).join('') === 'bh') return ordered;
  const inner = build.op('Slice', [
    build.op('Shape', [ordered]),
    build.int64([perm.length - 2]),
    build.int64([perm.length]),
  ]);
  return build.op('Reshape', [ordered, build.op('Concat', [build.int64([-1, heads]), inner], { axis: 0 })]);
}

/** What the graph has as the context of a site, brought to [B,H,N,E]: the inverse of restoreLayout. */
export function bindContext(build: Builder, site: Site): string {
  const { layout, value } = site.operands.context;
  return toHeads(build, toFloat(build, { value }, site.operands.elemType), layout, site.heads, site.valueDim);
}

/** The context [B,H,N,E] under the name and in the layout and type that the rest of the graph reads. */
export function restoreLayout(build: Builder, site: Site, context: string): void {
  const { layout, value } = site.operands.context;
  const laid = layoutNodes(build, context, layout, site);
  const typed = site.operands.elemType === float32 ? laid : build.op('Cast', [laid], { to: site.operands.elemType });
  build.rename(typed, value);
}

function layoutNodes(build: Builder, context: string, layout: Layout, site: Site): string {
  if (layout === 'bn(hd)') {
    const tokensFirst = build.op('Transpose', [context], { perm: [0, 2, 1, 3] });
    return build.op('Reshape', [tokensFirst, build.int64([0, 0, site.heads * site.valueDim])]);
  }
  const ordered = withLeading(build, context, leadingAxes(layout), site);
  const order = orderOf(layout);
  // Where each axis of the layout stands in the order.
  const perm = order.map((_, axis) => order.indexOf(axis));
  return isInOrder(perm) ? ordered : build.op('Transpose', [ordered], { perm });
}

/** [B,H,X,Y] → [axes…,X,Y]. The first takes what the others leave; those are as long as they are in the queries. */
function withLeading(build: Builder, value: string, axes: readonly string[], site: Site): string {
  if (axes.join('') === 'bh') return value;
  const { expr, layout } = site.operands.q;
  const queries = axes.length > 1 ? build.op('Shape', [build.emit(expr)]) : '';
  const sizes = axes.map((axis, i) =>
    i === 0 || axis === '1'
      ? build.int64([i === 0 ? -1 : 1])
      : build.op('Gather', [queries, build.int64([axisOf(layout, axis)])], { axis: 0 }),
  );
  const inner = build.op('Slice', [build.op('Shape', [value]), build.int64([2]), build.int64([4])]);
  return build.op('Reshape', [value, build.op('Concat', [...sizes, inner], { axis: 0 })]);
}
