/**
 * Reads one element of a value as a term: walks up from the value through the nodes that compute it, carrying the
 * indices along. What no rule knows becomes a leaf.
 */

import { operation } from '../../onnx/build.js';
import { add, constant, type Dim, equal, substitute, symbol, symbolsOf, toNumber } from '../../onnx/dims.js';
import type { Expr } from '../../onnx/expr.js';
import type { NodeProto } from '../../onnx/gen/onnx.js';
import { constantOf, definer, type Graph, intAttribute, operatorName, tensorOf } from '../../onnx/graph.js';
import { inferNode } from '../../onnx/shape-rules/registry.js';
import type { ValueType } from '../../onnx/value-type.js';
import type { Scope } from '../patterns/pattern.js';
import { isIndex, type Ranges } from './affine.js';
import type { Reader, View } from './rule.js';
import { rules } from './rules.js';
import { tableElement } from './table.js';
import { knows, makeTerms, type Term } from './term.js';

/** Nodes that one proof may look at; masks of exporters take a few hundred. */
const budget = 20_000;

/** @param stop where to take a value for a leaf although more is known of it */
export function makeReader(scope: Scope, sizes: Ranges, stop?: (value: string, at: readonly Dim[]) => boolean): Reader {
  const ranges = new Map(sizes);
  const terms = makeTerms(ranges);
  const known = new Map<string, Dim>();
  const memo = new Map<string, Term>();
  let fresh: string[] = [];
  const keyValues = new Map<number, Expr>();
  const equations: Dim[] = [];
  const own = new Map<Expr, { name: string; node?: NodeProto; type: ValueType }>();
  const ownByName = new Map<string, Expr>();
  const replaced = (dim: Dim) => substitute(dim, (name) => known.get(name));
  let left = budget;

  /** Expressions get names as if they were nodes of the graph. */
  function nameOf(expr: Expr): string {
    if ('value' in expr) return expr.value;
    const before = own.get(expr);
    if (before) return before.name;
    const name = `\0expr${own.size}`;
    ownByName.set(name, expr);
    if ('constant' in expr) {
      const { dims, data, type } = expr.constant;
      const elemType = { float: 1, int64: 7, bool: 9 }[type];
      const small = data.length <= 64 ? data.map(constant) : undefined;
      own.set(expr, { name, type: { elemType, shape: dims.map(constant), data: small } });
      return name;
    }
    // Reserved before its inputs are named, for names count what is there.
    own.set(expr, { name, type: { elemType: 0 } });
    const node = operation(
      expr,
      expr.inputs.map((input) => (input ? nameOf(input) : '')),
      [name],
    );
    const inputs = node.input.map((input) => (input ? typeOf(scope.graph, input) : undefined));
    const [type = { elemType: 0 }] = inferNode(node, {
      inputs,
      branches: [],
      opset: scope.model.opsets.get('') ?? 1,
      fresh: (axis) => symbol(`${name}.${axis}`),
    });
    own.set(expr, { name, node, type });
    return name;
  }

  function typeOf(graph: Graph, value: string): ValueType {
    const expr = ownByName.get(value);
    const type = (expr && own.get(expr)?.type) ?? scope.shapes(graph, value);
    if (known.size === 0) return type;
    return {
      ...type,
      shape: type.shape?.map(replaced),
      data: type.data?.map((dim) => dim && replaced(dim)),
    };
  }

  function element(graph: Graph, value: string, at: readonly Dim[]): Term {
    const key = `${graph.path}\0${value}[${at.map((dim) => dim.key)}]`;
    const before = memo.get(key);
    if (before) return before;
    const type = typeOf(graph, value);
    const leaf = () => terms.leaf(value, at, type.elemType === 9);
    left -= 1;
    const term =
      left > 0 && !stop?.(value, at)
        ? (constantAt(graph, value, type, at) ?? computed(graph, value, at) ?? leaf())
        : leaf();
    memo.set(key, term);
    fresh.push(key);
    noteKeyValue(value, type, at, term);
    return term;
  }

  /** Elements of constants, and of what is computed from shapes. */
  function constantAt(graph: Graph, value: string, { data, shape }: ValueType, at: readonly Dim[]): Term | undefined {
    const place = at.length === 0 ? 0 : at.length === 1 ? toNumber(at[0]) : undefined;
    const entry = data && (data.length === 1 ? data[0] : place === undefined ? undefined : data[place]);
    if (entry) return terms.poly(entry);
    const expr = ownByName.get(value);
    if (expr && 'constant' in expr) return tableElement(terms, expr.constant, at);
    if (!tensorOf(graph, value) || !shape) return undefined;
    const table = constantOf(graph, value, 1 << 22);
    return table && tableElement(terms, table, at);
  }

  function computed(graph: Graph, value: string, at: readonly Dim[]): Term | undefined {
    const expr = ownByName.get(value);
    const home = expr ? graph : definer(graph, value);
    const node = expr ? own.get(expr)?.node : home?.producer(value);
    if (!home || !node) return undefined;
    const name = operatorName(node);
    const view = viewOf(home, node, value);
    const rule = rules.get(name);
    if (rule) return rule(view, at);
    if (name === 'If') return chosen(home, node, value, at);
    if (!knows(name, node.input.length)) return undefined;
    const inputs = node.input.map((_, i) => view.broadcast(i, at));
    if (!inputs.every((input) => input !== undefined)) return undefined;
    equate(node.input.map((_, i) => view.shape(i) ?? []));
    return terms.apply(name, ...inputs);
  }

  /** An If whose branches agree. */
  function chosen(graph: Graph, node: NodeProto, value: string, at: readonly Dim[]): Term | undefined {
    const output = node.output.indexOf(value);
    const [a, b] = graph.subgraphs(node).map((branch) => element(branch, branch.proto.output[output]?.name ?? '', at));
    return a && a === b ? a : undefined;
  }

  function viewOf(graph: Graph, node: NodeProto, value: string): View {
    const shape = (input: number) => typeOf(graph, node.input[input] ?? '').shape;
    return {
      node,
      terms,
      shape,
      which: node.output.indexOf(value),
      output: typeOf(graph, value).shape,
      data: (input) => typeOf(graph, node.input[input] ?? '').data,
      int: (name, fallback) => intAttribute(node, name) ?? fallback,
      equate: (a, b) => equate([[a], [b]]),
      has: (input) => Boolean(node.input[input]),
      read: (input, at) => element(graph, node.input[input] ?? '', at),
      broadcast(input, at) {
        const own = shape(input);
        return own && element(graph, node.input[input] ?? '', aligned(own, at));
      },
    };
  }

  /** Two sizes on one axis, neither of them 1, are equal. */
  function equate(shapes: readonly (readonly Dim[])[]): void {
    const rank = Math.max(...shapes.map((shape) => shape.length));
    for (let axis = 1; axis <= rank; axis++) {
      const [first, ...rest] = shapes
        .map((shape) => shape[shape.length - axis])
        .filter((dim) => dim !== undefined && toNumber(dim) !== 1);
      for (const dim of rest) if (first && dim && !equal(first, dim)) equations.push(add(first, dim, -1));
    }
  }

  function noteKeyValue(value: string, { elemType, shape }: ValueType, at: readonly Dim[], term: Term) {
    const isFloat = elemType === 1 || elemType === 10 || elemType === 11;
    const plain = /^(0|1\*@b),0,0,1\*@j$/.test(`${at.map(({ key }) => key)}`);
    const seen = ownByName.has(value) || definer(scope.graph, value) !== undefined;
    if (!isFloat || !plain || !seen || !shape) return;
    const expr = ownByName.get(value) ?? { value };
    keyValues.set(term.id, elemType === 1 ? expr : { op: 'Cast', inputs: [expr], attributes: { to: 1 } });
  }

  return {
    terms,
    replaced,
    settle(read, more) {
      fresh = [];
      equations.length = 0;
      left = budget;
      const term = read();
      const learnt = solve([...equations, ...more()].map(replaced));
      if (learnt.size === 0) return term;
      const update = (name: string) => learnt.get(name);
      for (const [name, size] of known) known.set(name, substitute(size, update));
      for (const [name, size] of learnt) known.set(name, size);
      for (const [name, size] of ranges) ranges.set(name, substitute(size, update));
      for (const key of fresh) memo.delete(key);
      return read();
    },
    element: (of, at) => element(scope.graph, nameOf(of), at),
    shape: (of) => typeOf(scope.graph, nameOf(of)).shape,
    isInt64: (of) => typeOf(scope.graph, nameOf(of)).elemType === 7,
    source: (leaf) => ownByName.get(leaf) ?? { value: leaf },
    keyValue: (term) => keyValues.get(term.id),
  };
}

/** Indices as an operand of this shape is read when broadcast. */
export function aligned(shape: readonly Dim[], at: readonly Dim[]): Dim[] {
  const first = at.length - shape.length;
  return shape.map((dim, axis) => (toNumber(dim) === 1 ? constant(0) : (at[first + axis] ?? constant(0))));
}

/** Equations solved for one size each, so that equal sizes become one polynomial. */
function solve(equations: readonly Dim[]): Map<string, Dim> {
  const solved = new Map<string, Dim>();
  for (const equation of equations) {
    const dim = substitute(equation, (name) => solved.get(name));
    const options = symbolsOf(dim).flatMap((name): [string, Dim][] => {
      const coefficient = dim.terms.get(name);
      if (isIndex(name) || (coefficient !== 1 && coefficient !== -1)) return [];
      const rest = add(dim, { key: '', terms: new Map([[name, coefficient]]) }, -1);
      const value = coefficient === 1 ? add(constant(0), rest, -1) : rest;
      return symbolsOf(value).includes(name) ? [] : [[name, value]];
    });
    // Sizes are not negative: T = P + N rather than P = T − N.
    const [name, value] = options.find(([, v]) => [...v.terms.values()].every((c) => c > 0)) ?? options[0] ?? [];
    if (name === undefined || value === undefined) continue;
    for (const [other, before] of solved) {
      solved.set(
        other,
        substitute(before, (own) => (own === name ? value : undefined)),
      );
    }
    solved.set(name, value);
  }
  return solved;
}
