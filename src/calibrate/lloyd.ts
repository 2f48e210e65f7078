/**
 * k-means (Lloyd 1982) of all heads at once, as a graph: the assignment and the sums are matrix products, which
 * onnxruntime does many times faster than loops over arrays.
 *
 *   one step   a = argmax_c f·c − |c|²/2,   c ← mean of the rows with a = c        a code without rows keeps its place
 */
import { builder, constantPool } from '../onnx/build.js';
import { concat, encode } from '../onnx/encode.js';
import { makeGraph, makeModel, makeValueInfo } from '../onnx/message.js';

const opset = 17;
const steps = 10;

/** rows [H,n,F], start [H,C,F] → centres [H,C,F]; all sizes but F may vary. */
export function lloydModel(width: number): Uint8Array {
  const pool = constantPool('lloyd/');
  const build = builder(opset, 'lloyd/', pool);
  const swap = (value: string) => build.op('Transpose', [value], { perm: [0, 2, 1] });
  const one = build.float([1], []);
  let centres = 'start';
  for (let step = 0; step < steps; step++) {
    const squares = build.op('ReduceSum', [build.op('Mul', [centres, centres]), build.int64([2])], { keepdims: 1 });
    const halves = swap(build.op('Mul', [squares, build.float([0.5], [])]));
    const affinity = build.op('Sub', [build.op('MatMul', ['rows', swap(centres)]), halves]);
    const best = build.op('ReduceMax', [affinity], { axes: [2], keepdims: 1 });
    const members = swap(build.op('Cast', [build.op('Equal', [affinity, best])], { to: 1 }));
    const count = build.op('ReduceSum', [members, build.int64([2])], { keepdims: 1 });
    const mean = build.op('Div', [build.op('MatMul', [members, 'rows']), build.op('Max', [count, one])]);
    centres = build.op('Where', [build.op('Less', [count, one]), centres, mean]);
  }
  build.rename(centres, 'centres');
  const graph = makeGraph({
    name: 'lloyd',
    node: [...build.nodes],
    initializer: pool.initializers.map(({ bytes }) => bytes),
    input: [
      makeValueInfo('rows', 1, [undefined, undefined, width]),
      makeValueInfo('start', 1, [undefined, undefined, width]),
    ],
    output: [{ name: 'centres', metadataProps: [] }],
  });
  return concat(encode(makeModel(graph, opset)));
}
