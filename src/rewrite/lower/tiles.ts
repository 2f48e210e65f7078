/**
 * Blocks in two dimensions: square tiles of patches, with all patches within a halo around the tile as its window.
 *
 *   tokens [B,H,R·C,W] → grid [B,H,R,C,W] → padded → units [B,H,Ur,Uc,u²,W] of u × u patches, u = gcd(tile, halo)
 *   around tile (i, j):  the units at rows i·t … and columns j·t …, t = tile / u, (tile + 2 halo) / u of them each way
 *
 * Sums over the units around a tile are made along rows first and columns then.
 */
import type { Builder } from '../../onnx/build.js';
import { type Blocks, greatestDivisor, scaledQueries, sumOver } from './blocks.js';
import { ceilDivide, sizeOf } from './exact-blocked.js';
import type { Inputs } from './lowering.js';

/** Tiles over a grid whose rows and columns are the last two axes of `grid`. The inputs are the patches alone. */
export function tileBlocks(
  build: Builder,
  inputs: Inputs,
  { grid, tile, halo }: { grid: string; tile: number; halo: number },
): Blocks {
  const unit = halo === 0 ? tile : greatestDivisor(tile, halo);
  const stride = tile / unit;
  const places = (tile + 2 * halo) / unit;
  const along = (axis: number) => {
    const size = sizeOf(build, grid, axis);
    const count = ceilDivide(build, size, build.int64([tile]));
    const padding = build.op('Sub', [build.op('Mul', [count, build.int64([tile])]), size]);
    return { size, count, padding, after: build.op('Add', [padding, build.int64([halo])]) };
  };
  const [rows, columns] = [along(2), along(3)];
  const join = (parts: readonly string[]) => build.op('Concat', parts, { axis: 0 });
  const laidOut = (value: string, width: number) =>
    build.op('Reshape', [value, join([build.int64([0, 0]), rows.size, columns.size, build.int64([width])])]);

  /** [B,H,R,C,W] → [B,H,R/u,C/u,u²,W] after padding. */
  const cut = (value: string, pads: string, size: number, width: number, fill?: number) => {
    const padded = build.op('Pad', fill === undefined ? [value, pads] : [value, pads, build.float([fill], [])]);
    const [r, c] = [sizeOf(build, padded, 2), sizeOf(build, padded, 3)];
    const each = build.int64([size]);
    const split = join([
      build.int64([0, 0]),
      build.op('Div', [r, each]),
      each,
      build.op('Div', [c, each]),
      each,
      build.int64([width]),
    ]);
    const turned = build.op('Transpose', [build.op('Reshape', [padded, split])], { perm: [0, 1, 2, 4, 3, 5, 6] });
    return build.op('Reshape', [turned, build.int64([0, 0, 0, 0, size * size, width])]);
  };
  const ends = join([build.int64([0, 0]), rows.padding, columns.padding, build.int64([0])]);
  const haloEnds = join([build.int64([0, 0]), rows.after, columns.after, build.int64([0])]);
  const queryPads = join([build.int64([0, 0, 0, 0, 0]), ends]);
  const keyPads = join([build.int64([0, 0, halo, halo, 0]), haloEnds]);
  const spanOf = (count: string) => build.op('Mul', [count, build.int64([stride])]);
  const [rowSpan, columnSpan] = [spanOf(rows.count), spanOf(columns.count)];
  const every = (value: string, axis: number, span: string, j: number) => {
    const end = build.op('Add', [span, build.int64([j])]);
    return build.op('Slice', [value, build.int64([j]), end, build.int64([axis]), build.int64([stride])]);
  };
  const each = Array.from({ length: places }, (_, j) => j);
  const { headDim } = inputs.site;
  const queries = cut(laidOut(scaledQueries(build, inputs), headDim), queryPads, tile, headDim);
  return {
    queries: build.op('Reshape', [queries, build.int64([0, 0, -1, tile * tile, headDim])]),
    count: build.op('Mul', [rows.count, columns.count]),
    unitAxes: 2,
    units: (value, width, fill) => cut(laidOut(value, width), keyPads, unit, width, fill),
    around: (units, width) =>
      each.flatMap((i) => {
        const row = every(units, 2, rowSpan, i);
        return each.map((j) =>
          build.op('Reshape', [every(row, 3, columnSpan, j), build.int64([0, 0, -1, unit * unit, width])]),
        );
      }),
    sumAround(units, size, width) {
      const add = (a: string, b: string) => build.op('Add', [a, b]);
      const byRow = each.map((i) => every(units, 2, rowSpan, i)).reduce(add);
      const byTile = each.map((j) => every(byRow, 3, columnSpan, j)).reduce(add);
      return build.op('Reshape', [byTile, build.int64([0, 0, -1, size, width])]);
    },
    total: (units, size, width) =>
      build.op('Reshape', [sumOver(build, units, [2, 3]), build.int64([0, 0, 1, size, width])]),
    join(context, width) {
      const tiles = build.op('Reshape', [
        context,
        join([build.int64([0, 0]), rows.count, columns.count, build.int64([tile, tile, width])]),
      ]);
      const turned = build.op('Transpose', [tiles], { perm: [0, 1, 2, 4, 3, 5, 6] });
      const whole = join([
        build.int64([0, 0]),
        build.op('Mul', [rows.count, build.int64([tile])]),
        build.op('Mul', [columns.count, build.int64([tile])]),
        build.int64([width]),
      ]);
      const patches = build.op('Slice', [
        build.op('Reshape', [turned, whole]),
        build.int64([0, 0]),
        join([rows.size, columns.size]),
        build.int64([2, 3]),
      ]);
      return build.op('Reshape', [patches, build.int64([0, 0, -1, width])]);
    },
  };
}
