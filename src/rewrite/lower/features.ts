/**
 * Linear attention with positive random features in the double-softmax form (METHODS 0.3):
 *
 *   A  = Ω y − ½|y|² + 2b + bias   [B,H,M,S]      L = logsumexpₛ A  [B,H,M,1]      KV = softmaxₛ(A) v  [B,H,M,E]
 *   O  = softmaxₘ(x Ωᵀ + Lᵀ) KV                   x = √s q, y = √s k (balanced.ts)
 *
 * It equals Σφ(x)φ(y)v / Σφ(x)φ(y) with φ(x)ᵣ = exp(ωᵣ·x − ½|x|² + bᵣ) and needs neither epsilon nor overflow guard. Every positive map
 * is this operator with constants of its own (features-constants.ts): Ω drawn from a seed, one draw a head, or fitted to the moments
 * of queries and keys by calibration; for ADERF an Ω for x, another for y, and |Gy|² in place of |y|². A b that is the same for all
 * features cancels and is left out. Masked keys get a very low bias in A.
 *
 * Cost 2M key equivalents. What it costs in accuracy is another matter: on pre-trained heads it is another model.
 */
import type { Builder } from '../../onnx/build.js';
import { balanceFactors, beyondFeatures } from './balanced.js';
import { sumOver } from './blocks.js';
import { constantName, type Drawn, drawnMaps, featureShapes, mapNames } from './features-constants.js';
import {
  type Constants,
  defaultsOf,
  type Inputs,
  integerRule,
  type Lowering,
  numberOption,
  type OptionRule,
  type Options,
  optionReader,
} from './lowering.js';
import { unmaskedValues } from './masked.js';

const rules: Record<string, OptionRule> = {
  map: {
    default: 'favor+',
    valid: (value) => mapNames.includes(String(value)),
    expected: `one of ${mapNames.join(', ')}`,
  },
  m: integerRule(128, 1, 8192),
  seed: integerRule(0, 0, 2 ** 31),
};

export const features: Lowering = {
  summary: 'positive random features (FAVOR+ and its kin): linear time; for models trained with them',
  defaults: defaultsOf(rules),
  readOptions: optionReader('features', rules),
  declines: beyondFeatures,
  keyEquivalents: (options) => 2 * numberOption(options, 'm'),
  constants: (site, options) => featureShapes(site, drawnBy(options)),
  lower(build, inputs, options, constants) {
    const { queryOmega, keyOmega, keyBasis, bias } = sidesOf(build, inputs, options, constants);
    const kT = inputs.kT();
    const own = keyBasis ? build.op('MatMul', [keyBasis, kT]) : undefined;
    // A key that is stored untransposed is summed along its rows, and its Transpose is left to fuse with the product.
    const squares =
      own || inputs.site.operands.k.layout === 'bhdn'
        ? squareSum(own ?? kT, 2)
        : build.op('Transpose', [squareSum(inputs.k, 3)], { perm: [0, 1, 3, 2] });
    const [, toY] = balanceFactors(inputs.site);
    const norms = build.op('Mul', [squares, build.float([-0.5 * toY * toY], [])]);
    const offset = inputs.keyBias ? build.op('Add', [norms, inputs.keyBias]) : norms;
    const logits = build.op('Add', [build.op('MatMul', [keyOmega, kT]), offset]);
    const keys = bias ? build.op('Add', [logits, build.op('Add', [bias, bias])]) : logits;
    const mass = logSumExp(keys);
    const summaries = build.op('MatMul', [build.op('Softmax', [keys], { axis: -1 }), unmaskedValues(build, inputs)]);
    const queries = build.op('Add', [
      build.op('MatMul', [inputs.q, queryOmega]),
      build.op('Transpose', [mass], { perm: [0, 1, 3, 2] }),
    ]);
    return build.op('MatMul', [build.op('Softmax', [queries], { axis: -1 }), summaries]);

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

/** What the constants of a plan are drawn by. */
export function drawnBy(options: Options): Drawn {
  return { map: String(options.map), m: numberOption(options, 'm'), seed: numberOption(options, 'seed') };
}

/** The constants for q and k as the graph has them. */
interface Sides {
  readonly queryOmega: string; // [H,D,M]
  readonly keyOmega: string; // [H,M,D]
  readonly keyBasis?: string; // [H,D,D]
  readonly bias?: string; // [H,M,1]
}

function sidesOf(build: Builder, inputs: Inputs, options: Options, constants: Constants): Sides {
  const { site, heads } = inputs;
  const drawn = drawnBy(options);
  const { map, m, seed } = drawn;
  const d = site.headDim;
  const [toX, toY] = balanceFactors(site);
  if (!Object.hasOwn(drawnMaps, map)) {
    const constant = (name: string) => constants(constantName(drawn, name));
    const times = (value: string, factor: number) => build.op('Mul', [value, build.float([factor], [])]);
    const flip = (value: string) => build.op('Transpose', [value], { perm: [0, 2, 1] });
    const [query, key] = map === 'aderf' ? ['queryOmega', 'keyOmega'] : ['omega', 'omega'];
    return {
      queryOmega: flip(times(constant(query), toX)),
      keyOmega: times(constant(key), toY),
      ...(map === 'aderf' && { keyBasis: constant('keyBasis') }),
      bias: constant('bias'),
    };
  }
  const { omega } = drawnMaps[map]({ heads: site.heads, headDim: d, m, seed });
  const own = heads.flatMap((head) => Array.from(omega.subarray(head * m * d, (head + 1) * m * d)));
  return {
    queryOmega: build.float(
      transposed(own, heads.length, m, d).map((w) => w * toX),
      [heads.length, d, m],
    ),
    keyOmega: build.float(
      own.map((w) => w * toY),
      [heads.length, m, d],
    ),
  };
}

/** [H,M,D] → [H,D,M] */
function transposed(data: readonly number[], heads: number, rows: number, columns: number): number[] {
  return Array.from({ length: heads * rows * columns }, (_, i) => {
    const head = Math.floor(i / (rows * columns));
    const column = Math.floor((i % (rows * columns)) / rows);
    return data[head * rows * columns + (i % rows) * columns + column] ?? 0;
  });
}
