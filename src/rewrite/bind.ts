import type { Builder } from '../onnx/build.js';
import type { Expr } from '../onnx/expr.js';
import { excluded } from './lower/key-set.js';
import type { Inputs } from './lower/lowering.js';
import { keyHeadOf, type Layout, type Operand, type Site } from './site.js';

const float32 = 1;

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
    lazy(() => pickKeys(toHeads(build, float(operand), operand.layout, site.kvHeads, width)));
  const swap = (value: string) => build.op('Transpose', [value], { perm: [0, 1, 3, 2] });
  // A key that is transposed for the product already is transposed back only if somebody asks for it.
  const transposed = operands.k.layout === 'bhdn';
  const stored = transposed ? lazy(() => pickKeys(float(operands.k))) : load(operands.k, site.headDim);
  const flipped = lazy(() => swap(stored()));
  const q = lazy(() => pick(toHeads(build, float(operands.q), operands.q.layout, site.heads, site.headDim)));
  const v = load(operands.v, site.valueDim);
  const { bias, keyBias } = operands;
  const finite = keyBias && lazy(() => finiteBias(build, keyBias, operands.elemType));
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
    get keyBias() {
      return finite?.();
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

function toHeads(build: Builder, value: string, layout: Layout, heads: number, width: number): string {
  switch (layout) {
    case 'bhnd':
      return value;
    case 'bhdn':
      return build.op('Transpose', [value], { perm: [0, 1, 3, 2] });
    case 'bnhd':
      return build.op('Transpose', [value], { perm: [0, 2, 1, 3] });
    case '(bh)nd':
      return splitFolded(build, value, heads);
    case '(bh)dn':
      return build.op('Transpose', [splitFolded(build, value, heads)], { perm: [0, 1, 3, 2] });
    case 'bn(hd)':
      return build.op('Transpose', [build.op('Reshape', [value, build.int64([0, 0, heads, width])])], {
        perm: [0, 2, 1, 3],
      });
  }
}

/** [B·H,X,Y] → [B,H,X,Y] */
function splitFolded(build: Builder, value: string, heads: number): string {
  const inner = build.op('Slice', [build.op('Shape', [value]), build.int64([1]), build.int64([3])]);
  return build.op('Reshape', [value, build.op('Concat', [build.int64([-1, heads]), inner], { axis: 0 })]);
}

/** [B,H,X,Y] → [B·H,X,Y] */
function fold(build: Builder, value: string): string {
  const inner = build.op('Slice', [build.op('Shape', [value]), build.int64([2]), build.int64([4])]);
  return build.op('Reshape', [value, build.op('Concat', [build.int64([-1]), inner], { axis: 0 })]);
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
  switch (layout) {
    case 'bhnd':
      return context;
    case 'bhdn':
      return build.op('Transpose', [context], { perm: [0, 1, 3, 2] });
    case 'bnhd':
      return build.op('Transpose', [context], { perm: [0, 2, 1, 3] });
    case '(bh)nd':
      return fold(build, context);
    case '(bh)dn':
      return fold(build, build.op('Transpose', [context], { perm: [0, 1, 3, 2] }));
    case 'bn(hd)': {
      const tokensFirst = build.op('Transpose', [context], { perm: [0, 2, 1, 3] });
      return build.op('Reshape', [tokensFirst, build.int64([0, 0, site.heads * site.valueDim])]);
    }
  }
}
