/**
 * Linear attention with positive random features in the double-softmax form (METHODS 0.3):
 *
 *   A  = Ω y − ½|y|² + bias     [B,H,M,S]      L = logsumexpₛ A  [B,H,M,1]      KV = softmaxₛ(A) v  [B,H,M,E]
 *   O  = softmaxₘ(x Ωᵀ + Lᵀ) KV                 x = √s q, y = √s k
 *
 * It equals Σφ(x)φ(y)v / Σφ(x)φ(y) with φ(x)ᵣ = exp(ωᵣ·x − ½|x|²) and needs neither epsilon nor overflow guard.
 * Ω is a constant of the file, one draw a head (features/favor-plus.ts). Masked keys get a very low bias in A.
 *
 * Cost 2M key equivalents. What it costs in accuracy is another matter: on pre-trained heads it is another model.
 */
import { favorPlus } from '../../features/favor-plus.js';
import { sumOver } from './blocks.js';
import {
  beyondKeyBias,
  defaultsOf,
  integerRule,
  type Lowering,
  numberOption,
  type OptionRule,
  optionReader,
} from './lowering.js';
import { unmaskedValues } from './masked.js';

const rules: Record<string, OptionRule> = {
  map: { default: 'favor+', valid: (value) => value === 'favor+', expected: "'favor+'" },
  m: integerRule(128, 1, 8192),
  seed: integerRule(0, 0, 2 ** 31),
};

export const features: Lowering = {
  summary: 'positive random features (FAVOR+): linear time; for models trained with them',
  defaults: defaultsOf(rules),
  readOptions: optionReader('features', rules),
  declines: beyondKeyBias,
  keyEquivalents: (options) => 2 * numberOption(options, 'm'),
  lower(build, inputs, options) {
    const { site, heads } = inputs;
    const m = numberOption(options, 'm');
    const d = site.headDim;
    const { omega } = favorPlus({ heads: site.heads, headDim: d, m, seed: numberOption(options, 'seed') });
    const own = heads.flatMap((head) => Array.from(omega.subarray(head * m * d, (head + 1) * m * d)));
    const [toX, toY] = balance(site.scale, site.operands.scaled);

    const omegaY = build.float(
      own.map((w) => w * toY),
      [1, heads.length, m, d],
    );
    const omegaX = build.float(
      transposed(own, heads.length, m, d).map((w) => w * toX),
      [1, heads.length, d, m],
    );
    const kT = inputs.kT();
    // A key that is stored untransposed is summed along its rows, and its Transpose is left to fuse with the product.
    const squares =
      site.operands.k.layout === 'bhdn'
        ? squareSum(kT, 2)
        : build.op('Transpose', [squareSum(inputs.k, 3)], { perm: [0, 1, 3, 2] });
    const norms = build.op('Mul', [squares, build.float([-0.5 * toY * toY], [])]);
    const offset = inputs.keyBias ? build.op('Add', [norms, inputs.keyBias]) : norms;
    const keys = build.op('Add', [build.op('MatMul', [omegaY, kT]), offset]);
    const mass = logSumExp(keys);
    const summaries = build.op('MatMul', [build.op('Softmax', [keys], { axis: -1 }), unmaskedValues(build, inputs)]);
    const logits = build.op('Add', [
      build.op('MatMul', [inputs.q, omegaX]),
      build.op('Transpose', [mass], { perm: [0, 1, 3, 2] }),
    ]);
    return build.op('MatMul', [build.op('Softmax', [logits], { axis: -1 }), summaries]);

    function squareSum(value: string, axis: number): string {
      return sumOver(build, build.op('Mul', [value, value]), [axis]);
    }
    /** [B,H,M,S] → [B,H,M,1]; likewise at opset 18. */
    function logSumExp(value: string): string {
      return build.opset >= 18
        ? build.op('ReduceLogSumExp', [value, build.int64([3])], { keepdims: 1 })
        : build.op('ReduceLogSumExp', [value], { axes: [3], keepdims: 1 });
    }
  },
};

/** Factors that turn the graph's q and k, partly scaled, into x = √s q and y = √s k. The product is s either way; the variance is not. */
function balance(scale: number, scaled: { q: number; k: number }): [number, number] {
  const root = Math.sqrt(scale);
  return [root / scaled.q, root / scaled.k];
}

/** [H,M,D] → [H,D,M] */
function transposed(data: readonly number[], heads: number, rows: number, columns: number): number[] {
  return Array.from({ length: heads * rows * columns }, (_, i) => {
    const head = Math.floor(i / (rows * columns));
    const column = Math.floor((i % (rows * columns)) / rows);
    return data[head * rows * columns + (i % rows) * columns + column] ?? 0;
  });
}
