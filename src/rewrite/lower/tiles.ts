/**
 * Blocks in two dimensions: square tiles of patches, with all patches within a halo around the tile as its window.
 * Tokens are patches row by row, so that what is near a tile is a table of indices, made from the size of the grid.
 */
import type { Builder } from '../../onnx/build.js';
import { type Blocks, counting, placesAround, scaledQueries, withinAxis } from './blocks.js';
import { ceilDivide, sizeOf } from './exact-blocked.js';
import type { Inputs } from './lowering.js';

/** Rows and columns of something, int64 [1] each. */
interface Area {
  readonly rows: string;
  readonly columns: string;
}

/** Patches, and how many tiles of `across` by `across` it takes to cover them. */
export interface Tiling extends Area {
  readonly tiles: Area;
}

/** Tiles over a grid whose rows and columns are the last two axes of `grid`. */
export function tilesOver(build: Builder, grid: string, across: number): Tiling {
  const [rows, columns] = [sizeOf(build, grid, 2), sizeOf(build, grid, 3)];
  return { rows, columns, tiles: covering(build, { rows, columns }, across) };
}

/** How many squares of `across` by `across` cover so much. */
export function covering(build: Builder, { rows, columns }: Area, across: number): Area {
  const by = build.int64([across]);
  return { rows: ceilDivide(build, rows, by), columns: ceilDivide(build, columns, by) };
}

/**
 * Squares of `span` by `span` in an area, one for each place of `of`, `step` apart, the first `reach` before the area's corner: indices
 * [n,span²] row by row, and which of them are outside the area, [n,span²,1].
 */
export function squares(
  build: Builder,
  { rows, columns }: Area,
  given: { readonly of: Area; readonly step: number; readonly reach: number; readonly span: number },
): { index: string; outside: string } {
  const { of, step, reach, span } = given;
  // Reshaped as numbers, not as truth values: onnxruntime does that on a GPU, and reads it back to join them.
  const along = (size: string, count: string, dims: readonly number[]) => {
    const places = placesAround(build, { count, step, halo: reach, span });
    return withinAxis(build, build.op('Reshape', [places, build.int64(dims)]), size);
  };
  const down = along(rows, of.rows, [-1, 1, span, 1]);
  const right = along(columns, of.columns, [1, -1, 1, span]);
  const flat = (op: string, a: string, b: string, dims: readonly number[]) =>
    build.op('Reshape', [build.op(op, [a, b]), build.int64(dims)]);
  return {
    index: flat('Add', build.op('Mul', [down.index, columns]), right.index, [-1, span * span]),
    outside: flat('Or', down.outside, right.outside, [-1, span * span, 1]),
  };
}

/** Tiles as blocks of queries. The inputs are the patches alone. */
export function tileBlocks(
  build: Builder,
  inputs: Inputs,
  { tiling, tile, halo }: { tiling: Tiling; tile: number; halo: number },
): Blocks {
  const { rows, columns, tiles } = tiling;
  const patches = (reach: number) => squares(build, tiling, { of: tiles, step: tile, reach, span: tile + 2 * reach });
  const [own, near] = [patches(0), patches(halo)];
  return {
    queries: build.op('Gather', [scaledQueries(build, inputs), own.index], { axis: 2 }),
    size: tile * tile,
    outside: near.outside,
    around: (value) => build.op('Gather', [value, near.index], { axis: 2 }),
    join(context, width) {
      const flat = build.op('Reshape', [context, build.int64([0, 0, -1, width])]);
      return build.op('Gather', [flat, placeInTiles(build, { rows, columns, tileColumns: tiles.columns, tile })], {
        axis: 2,
      });
    },
  };
}

/** Where each patch is when tiles follow one another: int64 [R·C]. */
function placeInTiles(
  build: Builder,
  { rows, columns, tileColumns, tile }: { rows: string; columns: string; tileColumns: string; tile: number },
): string {
  const across = build.int64([tile]);
  const split = (count: string) => {
    const at = counting(build, count);
    const block = build.op('Div', [at, across]);
    return { block, within: build.op('Sub', [at, build.op('Mul', [block, across])]) };
  };
  const [row, column] = [split(rows), split(columns)];
  const area = build.int64([tile * tile]);
  const down = build.op('Add', [
    build.op('Mul', [build.op('Mul', [row.block, tileColumns]), area]),
    build.op('Mul', [row.within, across]),
  ]);
  const right = build.op('Add', [build.op('Mul', [column.block, area]), column.within]);
  const both = build.op('Add', [build.op('Reshape', [down, build.int64([-1, 1])]), right]);
  return build.op('Reshape', [both, build.int64([-1])]);
}
