/**
 * The hybrid (hybrid.ts) for images: the window is a square tile of patches with a halo around it. What a patch attends
 * near it lies on all sides, and a window of a sequence cuts most of that off.
 *
 * The tokens before the patches (class, registers) are keys of every query, and attend everything themselves. Cost in
 * key equivalents: as there, with (tile + 2 halo)² keys in the window; the few tokens in front are not counted. `steps` of k-means
 * move the codes on the input itself, each for 1½ codes more, 2 where values take part.
 */

import type { Builder } from '../../onnx/build.js';
import { type Options, optionsOf } from '../plan-options.js';
import { greatestDivisor } from './blocks.js';
import { attend } from './exact.js';
import { attendHybrid, farConstants, farCost, nearCost } from './hybrid.js';
import { type Keys, keysByHead } from './key-set.js';
import { beyondKeyBias, type Inputs, type Lowering, numberOption } from './lowering.js';
import { ringAround, ringKeys } from './ring.js';
import { tileBlocks, tilesOver } from './tiles.js';

export const hybrid2d: Lowering = {
  summary: 'the hybrid for images: square tiles with a halo; linear time; needs calibration',
  ...optionsOf('hybrid-2d'),
  declines: (site) =>
    beyondKeyBias(site) ??
    (site.operands.grid ? undefined : 'the graph does not show that the tokens are patches of an image, row by row'),
  constants: farConstants,
  keyEquivalents(options) {
    const sizes = sizesOf(options);
    const { tile, halo } = sizes;
    // Along rows first and columns then.
    const units = (2 * (tile + 2 * halo)) / greatestDivisor(tile, halo);
    return nearCost((tile + 2 * halo) ** 2, units, tile ** 2, options) + ringKeys(sizes) + farCost(options);
  },
  lower(build, inputs, options, constants) {
    const { grid } = inputs.site.operands;
    if (!grid) throw new TypeError('hybrid-2d was not declined');
    const patches = rowsFrom(build, inputs, grid.prefix);
    const { headDim, valueDim } = inputs.site;
    const sizes = sizesOf(options);
    const tiling = tilesOver(build, grid.value, sizes.tile);
    const blocks = tileBlocks(build, patches, { tiling, ...sizes });
    const pool = (rest: Keys) => ringAround(build, { rest, tiling, headDim, valueDim }, sizes);
    const all = keysByHead(build, inputs);
    const rest = sliceKeys(build, all, grid.prefix);
    const fixed = grid.prefix > 0 ? sliceKeys(build, all, 0, grid.prefix) : undefined;
    const far = { ...(sizes.ring > 0 && { pool }), ...(fixed && { fixed }) };
    const context = attendHybrid(build, patches, { blocks, all: rest, options, constants, ...far });
    if (!fixed) return context;
    const front = rows(build, inputs.q, 0, grid.prefix);
    const ahead = attend(build, inputs, { q: front, kT: inputs.kT(), v: all.values });
    return build.op('Concat', [ahead, context], { axis: 2 });
  },
};

function sizesOf(options: Options) {
  return {
    tile: numberOption(options, 'tile'),
    halo: numberOption(options, 'halo'),
    ring: numberOption(options, 'ring'),
  };
}

/** The inputs without the first tokens. */
function rowsFrom(build: Builder, inputs: Inputs, first: number): Inputs {
  if (first === 0) return inputs;
  const { q, k, v, keyBias, gain, site, heads } = inputs;
  return {
    q: rows(build, q, first),
    k: rows(build, k, first),
    v: rows(build, v, first),
    kT: () => build.op('Transpose', [rows(build, k, first)], { perm: [0, 1, 3, 2] }),
    ...(keyBias && { keyBias: rows(build, keyBias, first, undefined, 3) }),
    gain,
    site,
    heads,
  };
}

function sliceKeys(build: Builder, { keys, values, bias }: Keys, first: number, end?: number): Keys {
  const cut = (value: string) => rows(build, value, first, end);
  return { keys: cut(keys), values: cut(values), bias: cut(bias) };
}

function rows(build: Builder, value: string, first: number, end = 2 ** 31 - 1, axis = 2): string {
  return build.op('Slice', [value, build.int64([first]), build.int64([end]), build.int64([axis])]);
}
