// block_codes.wgsl: columns of a matrix in 8 bits a number, a scale for every 64 rows   (code_product.wgsl reads them)
//   y = x exp(bias_j);  scale = max|y| / 127 of a block of 64 rows, code = round(y / scale)
// in   x [U,S,W]  bias [·,S]    out  words [U,C,16⌈S/64⌉]  scales [U,C,⌈S/64⌉]
//      C = W columns, with ONES one more whose numbers are 1. Codes along the rows, four bytes a word, zeros behind the last; with PLANES the
//      block's bits by their place, two words a place: what is to be multiplied by single bits is counted by popcount.
//      A row that bias hides is a row of zeros, whatever it holds.
// grid one thread a (unit, block, column), WG threads a workgroup, in rows of num_workgroups.x
// bound: equal but where y / scale is within rounding of a half; test/kernels/low-bit-features.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias elem = f32; // what x is stored as
const WG = 64u;
const BIAS = false;
const ONES = false;
const PLANES = false;
// ---- end
struct Shape {
  units: u32, // U
  rows: u32, // S
  width: u32, // W
  biasSpan: u32, // units that share a row of bias
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> words: array<u32>;
@group(0) @binding(4) var<storage, read_write> scales: array<f32>;

const BLOCK = 64u;
const HIDDEN = -1e30;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let item = (group.x + group.y * groups.x) * WG + thread;
  let columns = shape.width + u32(ONES);
  let blocks = (shape.rows + BLOCK - 1u) / BLOCK;
  let column = item % columns;
  let block = item / columns % blocks;
  let unit = item / (columns * blocks);
  if (unit >= shape.units) { return; }
  let count = min(BLOCK, shape.rows - block * BLOCK);
  var y: array<f32, BLOCK>;
  var most = 0.0;
  for (var e = 0u; e < count; e++) {
    let row = block * BLOCK + e;
    var weight = 1.0;
    if (BIAS) {
      let given = bias[unit / shape.biasSpan * shape.rows + row];
      if (given <= HIDDEN) { continue; }
      weight = exp(given);
    }
    y[e] = weight;
    if (column < shape.width) { y[e] = weight * f32(x[(unit * shape.rows + row) * shape.width + column]); }
    most = max(most, abs(y[e]));
  }
  // A block of zeros has no scale of its own; any will do.
  let scale = max(most, 1e-30) / 127.0;
  let place = (unit * columns + column) * blocks + block;
  scales[place] = scale;
  var packed: array<u32, 16>;
  for (var e = 0u; e < count; e++) {
    let code = bitcast<u32>(i32(round(y[e] / scale))) & 255u;
    if (PLANES) {
      for (var p = 0u; p < 8u; p++) { packed[2u * p + e / 32u] |= ((code >> p) & 1u) << (e % 32u); }
    } else {
      packed[e / 4u] |= code << (e % 4u * 8u);
    }
  }
  for (var w = 0u; w < 16u; w++) { words[place * 16u + w] = packed[w]; }
}
