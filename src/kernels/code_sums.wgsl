// code_sums.wgsl: weighted sums of keys, values and ones by code, over a part of the keys   (rewrite/lower/far-field.ts)
//   sums[c] = Σ_{j: code_j = c} exp(bias_j) [k_j | v_j | 1 0 0 0]
// in   k [U,S,D]  v [U,S,E]  bias [·,S]  code [U,S]    out  sums [P,U,C,D+E+4]
// grid one workgroup a (unit, part of the keys, WG of the D+E+4 columns): a thread owns a column, so nothing is shared and no barrier
//      is needed; rows are read whole
// bound 1e-5, test/kernels/hybrid.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias elem = f32; // what k and v are stored as
const D = 64u;
const E = 64u;
const CODES = 32u;
const WG = 32u;
const BIAS = false;
const CODED = false; // else all keys have code 0
// ---- end
struct Shape {
  units: u32, // U
  keys: u32, // S
  parts: u32, // P
  perPart: u32,
  skipped: u32, // keys before it are left out
  biasSpan: u32, // units that share a row of bias
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> k: array<elem>;
@group(0) @binding(2) var<storage, read> v: array<elem>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> code: array<u32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;

// Whole numbers of 4, for those who read four at a time.
const F = D + E + 4u;
const HIDDEN = -1e30;
const SLICES = (F + WG - 1u) / WG;

var<workgroup> own: array<f32, CODES * WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let item = group.x + group.y * groups.x;
  if (item >= shape.units * shape.parts * SLICES) { return; }
  let f = item % SLICES * WG + thread;
  let part = item / SLICES % shape.parts;
  let unit = item / (SLICES * shape.parts);
  if (f >= F) { return; }
  for (var c = 0u; c < CODES; c++) { own[c * WG + thread] = 0.0; }
  let begin = shape.skipped + part * shape.perPart;
  let end = min(begin + shape.perPart, shape.keys);
  let biasAt = unit / shape.biasSpan * shape.keys;
  for (var j = begin; j < end; j++) {
    var weight = 1.0;
    if (BIAS) {
      let given = bias[biasAt + j];
      // What is hidden is not multiplied: it may be anything.
      if (given <= HIDDEN) { continue; }
      weight = exp(given);
    }
    var c = 0u;
    if (CODED) { c = code[unit * shape.keys + j]; }
    let row = unit * shape.keys + j;
    var x = f32(u32(f == D + E));
    if (f < D) {
      x = f32(k[row * D + f]);
    } else if (f < D + E) {
      x = f32(v[row * E + f - D]);
    }
    own[c * WG + thread] += weight * x;
  }
  let place = (part * shape.units + unit) * CODES * F + f;
  for (var c = 0u; c < CODES; c++) { sums[place + c * F] = own[c * WG + thread]; }
}
