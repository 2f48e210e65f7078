/**
 * A ring of pooled keys around each tile of an image, between its window and the summaries of everything: what is close, but not that close,
 * in a quarter of its keys (QUALITY, VISION: a two-level window).
 *
 *   a cell        2 × 2 patches:  n = Σ w_j,  k̄ = Σ w_j k_j / n,  v̄ = Σ w_j v_j / n,  w_j = exp(bias_j);  a key k̄ with bias log n
 *   its tile's    all cells up to so many from the window, which is whole cells, as the tile is
 *   codes         lose the mass of what is in a tile's ring, not its part of their means: a pseudo-key of n' keys of the n outside the window
 *                 keeps k̄_c and v̄_c of all n, with bias log n'
 *
 * The sums without the ring would be sums of every tile's own, 2·codes numbers a tile and a channel; with its pooled keys taken out of them, what
 * is left of a code may be far from any key. Means over a few keys more are neither.
 */
import type { Builder } from '../../onnx/build.js';
import { sumOver } from './blocks.js';
import { pseudoKeys } from './far-field.js';
import { excluded, insideOnly, type Keys, type Pooled } from './key-set.js';
import { covering, squares, type Tiling } from './tiles.js';

/** Patches of a cell, along each axis. */
const cell = 2;

interface Sizes {
  readonly tile: number;
  readonly halo: number;
  /** Cells from the window on. */
  readonly ring: number;
}

/** How many keys a tile's ring has. */
export function ringKeys({ tile, halo, ring }: Sizes): number {
  const inner = (tile + 2 * halo) / cell;
  return (inner + 2 * ring) ** 2 - inner ** 2;
}

/** The ring of every tile; tile and halo are whole cells. */
export function ringAround(
  build: Builder,
  { rest, tiling, headDim, valueDim }: { rest: Keys; tiling: Tiling; headDim: number; valueDim: number },
  { tile, halo, ring }: Sizes,
): Pooled {
  const cells = covering(build, tiling, cell);
  const members = squares(build, tiling, { of: cells, step: cell, reach: 0, span: cell });
  const present = insideOnly(build, members.outside);
  /** Sums over each cell: [B,H,S,W] → [B,H,cells,W]. */
  const pool = (value: string, width: number) => {
    const fetched = build.op('Mul', [build.op('Gather', [value, members.index], { axis: 2 }), present]);
    return build.op('Reshape', [sumOver(build, fetched, [3]), build.int64([0, 0, -1, width])]);
  };

  const inner = (tile + 2 * halo) / cell;
  const span = inner + 2 * ring;
  const square = squares(build, cells, { of: tiling.tiles, step: tile / cell, reach: halo / cell + ring, span });
  const within = (at: number) => at >= ring && at < ring + inner;
  const apart = build.int64(
    Array.from({ length: span * span }, (_, at) => at).filter(
      (at) => !(within(Math.floor(at / span)) && within(at % span)),
    ),
  );
  const [index, outside] = [square.index, square.outside].map((table) =>
    build.op('Gather', [table, apart], { axis: 1 }),
  );
  const around = (value: string) => build.op('Gather', [value, index], { axis: 2 });

  const weight = build.op('Exp', [rest.bias]);
  const sum = (value: string, width: number) => pool(build.op('Mul', [value, weight]), width);
  const pooled = pseudoKeys(build, {
    keys: sum(rest.keys, headDim),
    values: sum(rest.values, valueDim),
    count: pool(weight, 1),
  });
  return {
    keys: around(pooled.keys),
    values: around(pooled.values),
    bias: build.op('Where', [outside, build.float([2 * excluded], []), around(pooled.bias)]),
    shared: false,
    share: (value, width) =>
      sumOver(build, build.op('Mul', [around(pool(value, width)), insideOnly(build, outside)]), [3]),
  };
}
