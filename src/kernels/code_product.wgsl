// code_product.wgsl: products of codes, whole numbers summed over 64 at a time   (cosine_codes.wgsl, block_codes.wgsl)
//   c[r,e] = weight_r Σ_blocks scale_e ⟨a_r, b_e⟩ over a part of the blocks;  with NORMAL out[r,e] = c[r,e] / c[r,last], no weights
// in   a [U,R,2·BITS·blocks]  b [U / span,C,16·blocks]  scales [U / span,C,blocks]  weight [G,R]    out  out [P,U,R,C], NORMAL: [U,R,C − 1]
// grid one workgroup a (unit, ROWS rows, COLUMNS columns, part), 64 threads of 4 × 4 numbers each, in rows of num_workgroups.x
//      8 bits: dot4I8Packed. 4 bits: the same on the upper and the lower halves of bytes, which are 16 times their number. 1 bit is a
//      sign: place p of b counts 2^p (all − 2 negative) by popcount. Where c[r,last] is 0 the row is zeros.
// bound 1e-5, integers are exact; test/kernels/low-bit-features.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias result = f32; // what out is stored as
const BITS = 8u; // of a
const NORMAL = false;
// ---- end
struct Shape {
  units: u32, // U
  span: u32, // units of a for one of b
  heads: u32, // rows of weights, G
  rows: u32, // R
  columns: u32, // C
  blocks: u32,
  parts: u32, // P
  perPart: u32, // blocks a part
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<result>;

const WG = 64u;
const ROWS = 32u;
const COLUMNS = 32u;
const WA = 2u * BITS; // words of a block
const WB = 16u;
const HALF = 0xf0f0f0f0u;

var<workgroup> tileA: array<u32, ROWS * WA>;
// The last one is the sum that NORMAL divides by.
var<workgroup> tileB: array<u32, (COLUMNS + 1u) * WB>;
var<workgroup> tileScales: array<f32, COLUMNS + 1u>;

// The codes of row r of a that word w of b is for.
fn left(r: u32, w: u32) -> u32 {
  if (BITS == 8u) { return tileA[r * WA + w]; }
  if (BITS == 1u) { return tileA[r * WA + w % 2u]; }
  return (tileA[r * WA + w / 2u] << (4u * (1u - w % 2u))) & HALF;
}

fn products(x: u32, y: u32, w: u32) -> i32 {
  if (BITS != 1u) { return dot4I8Packed(x, y); }
  let sum = i32(countOneBits(y)) - 2 * i32(countOneBits(x & y));
  // The highest place of a number in two's complement is negative.
  return select(sum << (w / 2u), -(sum << 7u), w / 2u == 7u);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let rowTiles = (shape.rows + ROWS - 1u) / ROWS;
  let last = shape.columns - 1u;
  let written = shape.columns - u32(NORMAL);
  let columnTiles = (written + COLUMNS - 1u) / COLUMNS;
  let item = group.x + group.y * groups.x;
  if (item >= shape.units * rowTiles * columnTiles * shape.parts) { return; }
  let firstColumn = item % columnTiles * COLUMNS;
  let firstRow = item / columnTiles % rowTiles * ROWS;
  let unit = item / (columnTiles * rowTiles) % shape.units;
  let part = item / (columnTiles * rowTiles * shape.units);
  let aAt = unit * shape.rows * shape.blocks * WA;
  let bAt = unit / shape.span * shape.columns;
  // A thread's rows are own.y + 8i, its columns own.x + 8j, and the fifth column is the last of all.
  let own = vec2u(thread % 8u, thread / 8u);
  var sums: array<array<f32, 5>, 4>;
  let begin = part * shape.perPart;
  let end = min(begin + shape.perPart, shape.blocks);
  for (var block = begin; block < end; block++) {
    workgroupBarrier();
    for (var i = thread; i < ROWS * WA; i += WG) {
      let row = min(firstRow + i / WA, shape.rows - 1u);
      tileA[i] = a[aAt + (row * shape.blocks + block) * WA + i % WA];
    }
    for (var i = thread; i < (COLUMNS + 1u) * WB; i += WG) {
      let column = min(select(firstColumn + i / WB, last, i / WB == COLUMNS), last);
      let place = (bAt + column) * shape.blocks + block;
      tileB[i] = b[place * WB + i % WB];
      if (i % WB == 0u) { tileScales[i / WB] = scales[place]; }
    }
    workgroupBarrier();
    // Zeros by word: where a declaration alone should do, SwiftShader keeps the sums of the block before.
    var whole = array<array<i32, 5>, 4>();
    for (var w = 0u; w < WB; w++) {
      for (var i = 0u; i < 4u; i++) {
        let x = left(own.y + 8u * i, w);
        for (var j = 0u; j < 4u + u32(NORMAL); j++) {
          let column = select(own.x + 8u * j, COLUMNS, j == 4u);
          whole[i][j] += products(x, tileB[column * WB + w], w);
        }
      }
    }
    for (var i = 0u; i < 4u; i++) {
      for (var j = 0u; j < 4u + u32(NORMAL); j++) {
        sums[i][j] += tileScales[select(own.x + 8u * j, COLUMNS, j == 4u)] * f32(whole[i][j]);
      }
    }
  }
  for (var i = 0u; i < 4u; i++) {
    let row = firstRow + own.y + 8u * i;
    if (row >= shape.rows) { break; }
    for (var j = 0u; j < 4u; j++) {
      let column = firstColumn + own.x + 8u * j;
      if (column >= written) { break; }
      var value = sums[i][j];
      if (NORMAL) {
        let total = sums[i][4];
        value = select(0.0, value / select(1.0, total, total != 0.0), total != 0.0);
      } else {
        value *= weight[unit % shape.heads * shape.rows + row];
      }
      out[((part * shape.units + unit) * shape.rows + row) * written + column] = result(value);
    }
  }
}
