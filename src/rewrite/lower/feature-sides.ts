/** The constants of a positive feature map as the graph reads them, whoever makes them and whichever side has the scale. */

import type { Builder } from '../../onnx/build.js';
import { learned, type Options } from '../plan-options.js';
import { balanceFactors } from './balanced.js';
import { sumOver } from './blocks.js';
import { constantName, type Drawn, drawnMaps } from './features-constants.js';
import { type Constants, type Inputs, numberOption } from './lowering.js';

/** For q and k as the graph has them. */
export interface Sides {
  readonly queryOmega: string; // [H,D,M]
  readonly keyOmega: string; // [H,M,D]
  readonly keyBasis?: string; // [H,D,D]
  readonly bias?: string; // [H,M,1]; absent where it is −½ ln M for every feature
}

/** What the constants of a plan are drawn by. */
export function drawnBy(options: Options): Drawn {
  return { map: String(options.map), m: numberOption(options, 'm'), seed: numberOption(options, 'seed') };
}

/** Maps whose sides differ: an Ω for queries and one for keys. */
const sided = ['aderf', learned];

export function sidesOf(
  build: Builder,
  inputs: Pick<Inputs, 'site' | 'heads'>,
  { options, constants }: { readonly options: Options; readonly constants: Constants },
): Sides {
  const { site, heads } = inputs;
  const drawn = drawnBy(options);
  const { map, m, seed } = drawn;
  const d = site.headDim;
  const [toX, toY] = balanceFactors(site);
  if (!Object.hasOwn(drawnMaps, map)) {
    const constant = (name: string) => constants(constantName(drawn, name));
    const times = (value: string, factor: number) => build.op('Mul', [value, build.float([factor], [])]);
    const flip = (value: string) => build.op('Transpose', [value], { perm: [0, 2, 1] });
    const [query, key] = sided.includes(map) ? ['queryOmega', 'keyOmega'] : ['omega', 'omega'];
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

/** The logits of both sides, for queries with `gain` applied: Ω and what |·|² is taken times. */
export interface GainedSides {
  readonly queryOmega: string; // [H,D,M]
  readonly queryNorm: number;
  readonly keyOmega: string; // [H,M,D]
  readonly keyNorm: number;
  /** 2b [H,M,1]; absent where it is −ln M for every feature. */
  readonly bias?: string;
  readonly m: number;
}

export function gainedSides(
  build: Builder,
  inputs: Pick<Inputs, 'site' | 'heads' | 'gain'>,
  given: { readonly options: Options; readonly constants: Constants },
): GainedSides {
  const { queryOmega, keyOmega, bias } = sidesOf(build, inputs, given);
  const [toX, toY] = balanceFactors(inputs.site);
  // A query with its gain is `gain / toX` times x, which the constants for it take back.
  const toGained = toX / inputs.gain;
  return {
    queryOmega: build.op('Mul', [queryOmega, build.float([1 / inputs.gain], [])]),
    queryNorm: -0.5 * toGained ** 2,
    keyOmega,
    keyNorm: -0.5 * toY ** 2,
    ...(bias && { bias: build.op('Add', [bias, bias]) }),
    m: numberOption(given.options, 'm'),
  };
}

/** U = Ω_q x − ½|x|² of queries whose width is their last axis, number `axis`: […,D] → […,M]. */
export function queryLogits(
  build: Builder,
  queries: string,
  { queryOmega, queryNorm }: Pick<GainedSides, 'queryOmega' | 'queryNorm'>,
  axis: number,
): string {
  const squares = sumOver(build, build.op('Mul', [queries, queries]), [axis]);
  const norms = build.op('Mul', [squares, build.float([queryNorm], [])]);
  return build.op('Add', [build.op('MatMul', [queries, queryOmega]), norms]);
}

/** A = Ω_k y − ½|y|² + 2b of keys whose width is the last axis but one, number `axis`: […,D,S] → […,M,S]. */
export function keyLogits(
  build: Builder,
  keysT: string,
  { keyOmega, keyNorm, bias }: Required<Pick<GainedSides, 'keyOmega' | 'keyNorm' | 'bias'>>,
  axis: number,
): string {
  const squares = sumOver(build, build.op('Mul', [keysT, keysT]), [axis]);
  const norms = build.op('Mul', [squares, build.float([keyNorm], [])]);
  return build.op('Add', [build.op('MatMul', [keyOmega, keysT]), build.op('Add', [norms, bias])]);
}

/** [H,M,D] → [H,D,M] */
function transposed(data: readonly number[], heads: number, rows: number, columns: number): number[] {
  return Array.from({ length: heads * rows * columns }, (_, i) => {
    const head = Math.floor(i / (rows * columns));
    const column = Math.floor((i % (rows * columns)) / rows);
    return data[head * rows * columns + (i % rows) * columns + column] ?? 0;
  });
}
