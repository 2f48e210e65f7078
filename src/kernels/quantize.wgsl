// quantize.wgsl: rows in 8, 4 or 1 bits a number, for estimates of scores   (estimate.wgsl; SALE, Ji et al. 2025, step 1)
//   y = x − mean where CENTRED;  8, 4 bits: scale = max|y| / 127 or 7, word = round(y / scale);  1 bit: scale = mean|y|, bit = y < 0
//   where LIMITED: limit_i ← limit_i + shift − factor x_i·mean, so that a score of x_i and a centred key is above limit_i where that of
//   the key itself is above what was there
// in   x [U,R,D]  sums [U / span,2D+4]  bias [·,R]    out  words [U,R,W]  scales [U,R]    in and out  limits [U,R]
//      sums are those of all visible keys, and their number at 2D (code_sums.wgsl); W = ⌈D·BITS/32⌉ words, low bits first
//      scale −1 marks a row that bias hides
// grid one thread a row, WG threads a workgroup, in rows of num_workgroups.x
// bound: equal but where y / scale is within rounding of a half; test/kernels/low-bit.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias elem = f32; // what x is stored as
const D = 64u;
const BITS = 8u;
const WG = 64u;
const CENTRED = false;
const LIMITED = false;
const BIAS = false;
// ---- end
struct Shape {
  units: u32, // U
  rows: u32, // R
  span: u32, // units that share a mean
  biasSpan: u32, // units that share a row of bias
  factor: f32,
  shift: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> words: array<u32>;
@group(0) @binding(5) var<storage, read_write> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> limits: array<f32>;

const EACH = 32u / BITS; // numbers a word
const W = (D + EACH - 1u) / EACH;
const LEVELS = f32(max(1u, (1u << (BITS - 1u)) - 1u)); // 1 bit has none, and divides by none
const HIDDEN = -1e30;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = (group.x + group.y * groups.x) * WG + thread;
  if (row >= shape.units * shape.rows) { return; }
  let unit = row / shape.rows;
  let meanAt = unit / shape.span * (2u * D + 4u);
  var y: array<f32, D>;
  var most = 0.0;
  var sum = 0.0;
  var product = 0.0;
  let inverse = 1.0 / max(sums[meanAt + 2u * D], 1e-9);
  for (var d = 0u; d < D; d++) {
    let value = f32(x[row * D + d]);
    let mean = inverse * sums[meanAt + d];
    product += value * mean;
    y[d] = value - select(0.0, mean, CENTRED);
    most = max(most, abs(y[d]));
    sum += abs(y[d]);
  }
  if (LIMITED) { limits[row] += shape.shift - shape.factor * product; }
  // A row of zeros has no scale of its own; any will do.
  var scale = select(max(most, 1e-30) / LEVELS, sum / f32(D), BITS == 1u);
  for (var w = 0u; w < W; w++) {
    var word = 0u;
    for (var e = 0u; e < EACH && w * EACH + e < D; e++) {
      let value = y[w * EACH + e];
      var code = u32(value < 0.0);
      if (BITS > 1u) { code = bitcast<u32>(i32(round(value / scale))) & ((1u << BITS) - 1u); }
      word |= code << (e * BITS);
    }
    words[row * W + w] = word;
  }
  if (BIAS) {
    let given = bias[unit / shape.biasSpan * shape.rows + row % shape.rows];
    if (given <= HIDDEN) { scale = -1.0; }
  }
  scales[row] = scale;
}
