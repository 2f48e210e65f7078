/**
 * Keys that every query attends exactly, chosen for each input and head: the first `sinks`, and those with the highest
 * static score k_j·q₀, q₀ being the head's mean query over calibration data.
 */
import type { Builder } from '../../onnx/build.js';
import { counting } from './blocks.js';
import { sizeOf } from './exact-blocked.js';
import { excluded, type Keys } from './key-set.js';
import type { Inputs } from './lowering.js';

/** The chosen keys [B,H,g,·], g at most as many as there are, and all keys with the chosen ones excluded. */
export function scoredGlobals(
  build: Builder,
  inputs: Inputs,
  all: Keys,
  { query, globals, sinks }: { query?: string; globals: number; sinks: number },
): { chosen?: Keys; rest: Keys } {
  if (globals + sinks === 0) return { rest: all };
  const score = query ? build.op('Add', [build.op('MatMul', [all.keys, query]), all.bias]) : all.bias;
  const length = sizeOf(build, all.keys, 2);
  const ranked = sinks > 0 ? build.op('Add', [score, sinkBonus(build, length, sinks)]) : score;
  const most = build.int64([globals + sinks]);
  const size = build.op('Where', [build.op('Less', [length, most]), length, most]);
  const [, index = ''] = build.ops('TopK', [ranked, size], 2, { axis: 2 });
  const pick = (value: string, width: number) => rowsOfHeads(build, value, index, width);
  const chosen = {
    keys: pick(all.keys, inputs.site.headDim),
    values: pick(all.values, inputs.site.valueDim),
    bias: pick(all.bias, 1),
  };
  // As many as there are chosen; onnxruntime reads back whole numbers from a GPU to say how many they are.
  const taken = build.op('Expand', [build.float([excluded], [1, 1, 1, 1]), build.op('Shape', [chosen.bias])]);
  const rest = build.op('ScatterElements', [all.bias, index, taken], { axis: 2 });
  return { chosen, rest: { ...all, bias: rest } };
}

/** Rows [B,H,g,W] of [B,H,S,W] at indices [B,H,g,1] of each head's own. */
export function rowsOfHeads(build: Builder, value: string, index: string, width: number): string {
  // onnxruntime repeats whole numbers on the CPU alone, where the chosen rows would follow.
  if (build.opset >= 12) return build.op('GatherND', [value, index], { batch_dims: 2 });
  const wide = build.op('Expand', [index, build.int64([1, 1, 1, width])]);
  return build.op('GatherElements', [value, wide], { axis: 2 });
}

/** Lifts the first keys above every score, but not above being masked: [S,1]. */
function sinkBonus(build: Builder, length: string, sinks: number): string {
  const first = build.op('Cast', [build.op('Less', [counting(build, length), build.int64([sinks])])], { to: 1 });
  return build.op('Reshape', [build.op('Mul', [first, build.float([-0.5 * excluded], [])]), build.int64([-1, 1])]);
}
