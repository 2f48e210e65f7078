// cosine_codes.wgsl: cosines of random phase in 8, 4 or 1 bits, no cosine ever in memory   (quant/low-bit-features.ts; METHODS of them in low-bit.ts)
//   f[i,r] = cos(gain ω_r·x_i + β_r);  8, 4 bits: code = round(127 f) or round(7 f);  1 bit: f < 0
// in   x [U,R,D]  omega [G,M,D]  phase [G,M]    out  words [U,M,K] along rows with ALONG_ROWS, else [U,R,K] along features
//      K = whole blocks of 64 codes: ⌈R/64⌉ or ⌈M/64⌉, of 2·BITS words, low bits first; behind the last code zeros. 4 bits: codes 0 to 3 of
//      a word are the lower halves of its bytes, 4 to 7 the upper ones, so that either half is four bytes
// grid one thread a word, WG threads a workgroup, in rows of num_workgroups.x
// bound: equal but where 127 f is within rounding of a half; test/kernels/low-bit-features.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias elem = f32; // what x and omega are stored as
const D = 64u;
const BITS = 8u;
const WG = 64u;
const ALONG_ROWS = false;
// ---- end
struct Shape {
  units: u32, // U
  heads: u32, // units a batch
  span: u32, // heads that share features
  rows: u32, // R
  features: u32, // M
  gain: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> omega: array<elem>;
@group(0) @binding(3) var<storage, read> phase: array<f32>;
@group(0) @binding(4) var<storage, read_write> words: array<u32>;

const EACH = 32u / BITS; // codes a word
const TURN = 0.15915494309189535;

// WGSL's own may err by 5e-4. By sine's series about a quarter turn before: 6e-8.
fn cosine(angle: f32) -> f32 {
  let turns = angle * TURN;
  let y = (0.25 - abs(turns - round(turns))) / TURN;
  let z = y * y;
  return y * (1.0 + z * (-1.0 / 6.0 + z * (1.0 / 120.0 + z * (-1.0 / 5040.0 + z * (1.0 / 362880.0 - z / 39916800.0)))));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let item = (group.x + group.y * groups.x) * WG + thread;
  // A line of words belongs to a feature or to a row, and goes along the other.
  let lines = select(shape.rows, shape.features, ALONG_ROWS);
  let length = select(shape.features, shape.rows, ALONG_ROWS);
  let perLine = (length + 63u) / 64u * 2u * BITS;
  // Neighbours share what is read most: a row for all its features.
  let line = select(item / perLine, item % lines, ALONG_ROWS) % lines;
  let at = select(item % perLine, item / lines % perLine, ALONG_ROWS);
  let unit = item / (lines * perLine);
  if (unit >= shape.units) { return; }
  let head = unit % shape.heads / shape.span;
  var own: array<f32, D>;
  for (var d = 0u; d < D; d++) {
    if (ALONG_ROWS) {
      own[d] = f32(omega[(head * shape.features + line) * D + d]);
    } else {
      own[d] = f32(x[(unit * shape.rows + line) * D + d]);
    }
  }
  var word = 0u;
  for (var e = 0u; e < EACH; e++) {
    let other = at * EACH + e;
    if (other >= length) { break; }
    let feature = head * shape.features + select(other, line, ALONG_ROWS);
    let row = unit * shape.rows + select(line, other, ALONG_ROWS);
    var product = 0.0;
    for (var d = 0u; d < D; d++) {
      if (ALONG_ROWS) {
        product += own[d] * f32(x[row * D + d]);
      } else {
        product += own[d] * f32(omega[feature * D + d]);
      }
    }
    let value = cosine(shape.gain * product + phase[feature]);
    if (BITS == 8u) { word |= (bitcast<u32>(i32(round(127.0 * value))) & 255u) << (8u * e); }
    if (BITS == 4u) { word |= (bitcast<u32>(i32(round(7.0 * value))) & 15u) << (e % 4u * 8u + e / 4u * 4u); }
    if (BITS == 1u) { word |= u32(value < 0.0) << e; }
  }
  words[(unit * lines + line) * perLine + at] = word;
}
