/**
 * Blocks in two dimensions: square tiles of patches, with all patches within a halo around the tile as its window.
 * Tokens are patches row by row, so that what is near a tile is a table of indices, made from the size of the grid.
 */
import type { Builder } from '../../onnx/build.js';
import { type Blocks, counting, placesAround, scaledQueries, withinAxis } from './blocks.js';
import { ceilDivide, sizeOf } from './exact-blocked.js';
import type { Inputs } from './lowering.js';

/** Tiles over a grid whose rows and columns are the last two axes of `grid`. The inputs are the patches alone. */
export function tileBlocks(
  build: Builder,
  inputs: Inputs,
  { grid, tile, halo }: { grid: string; tile: number; halo: number },
): Blocks {
  const [rows, columns] = [sizeOf(build, grid, 2), sizeOf(build, grid, 3)];
  const across = build.int64([tile]);
  const [tileRows, tileColumns] = [ceilDivide(build, rows, across), ceilDivide(build, columns, across)];

  /** The patches of every tile and those up to `reach` around it: indices [n,span²], and which are none. */
  const patches = (reach: number) => {
    const span = tile + 2 * reach;
    // Reshaped as numbers, not as truth values: onnxruntime does that on a GPU, and reads it back to join them.
    const along = (size: string, count: string, dims: readonly number[]) => {
      const places = placesAround(build, { count, step: tile, halo: reach, span });
      return withinAxis(build, build.op('Reshape', [places, build.int64(dims)]), size);
    };
    const down = along(rows, tileRows, [-1, 1, span, 1]);
    const right = along(columns, tileColumns, [1, -1, 1, span]);
    const flat = (op: string, a: string, b: string, dims: readonly number[]) =>
      build.op('Reshape', [build.op(op, [a, b]), build.int64(dims)]);
    return {
      index: flat('Add', build.op('Mul', [down.index, columns]), right.index, [-1, span * span]),
      outside: flat('Or', down.outside, right.outside, [-1, span * span, 1]),
    };
  };
  const [own, near] = [patches(0), patches(halo)];
  return {
    queries: build.op('Gather', [scaledQueries(build, inputs), own.index], { axis: 2 }),
    size: tile * tile,
    outside: near.outside,
    around: (value) => build.op('Gather', [value, near.index], { axis: 2 }),
    join(context, width) {
      const flat = build.op('Reshape', [context, build.int64([0, 0, -1, width])]);
      return build.op('Gather', [flat, placeInTiles(build, { rows, columns, tileColumns, tile })], { axis: 2 });
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
