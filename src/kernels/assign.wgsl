// assign.wgsl: the code of every key   (rewrite/lower/far-field.ts)
//   code_j = argmax_c (f_j − f̄)·W_c + b_c, the first of equals    f_j = k_j, or [k_j | v_j] with VALUES; f̄ its mean over visible keys
// in   k [U,S,D]  v [U,S,E]  means [U,D+E+4]  weights [H,F,C]  offsets [H,C]    out  code [U,S]
//      means are sums of k, of v and of ones over visible keys (code_sums.wgsl); U = B·H units, F = D or D + E
// grid one thread a key, WG threads a workgroup, in rows of num_workgroups.x
// bound: exact but for rounding of the scores; test/kernels/hybrid.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias elem = f32; // what k and v are stored as
const D = 64u;
const E = 64u;
const CODES = 32u;
const WG = 64u;
const VALUES = false;
// ---- end
struct Shape {
  units: u32, // U
  keys: u32, // S
  heads: u32, // H
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> k: array<elem>;
@group(0) @binding(2) var<storage, read> v: array<elem>;
@group(0) @binding(3) var<storage, read> means: array<f32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read> offsets: array<f32>;
@group(0) @binding(6) var<storage, read_write> code: array<u32>;

const F = D + select(0u, E, VALUES);

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.x + group.y * groups.x) * WG + thread;
  if (row >= shape.units * shape.keys) { return; }
  let unit = row / shape.keys;
  let head = unit % shape.heads;
  let meanAt = unit * (D + E + 4u);
  // Where every key is hidden there is nothing to divide, and no code matters.
  let inverse = 1.0 / max(means[meanAt + D + E], 1e-9);
  var x: array<f32, F>;
  for (var f = 0u; f < D; f++) { x[f] = f32(k[row * D + f]) - inverse * means[meanAt + f]; }
  if (VALUES) {
    for (var f = D; f < F; f++) { x[f] = f32(v[row * E + f - D]) - inverse * means[meanAt + f]; }
  }
  var best = 0u;
  var most = -3e38;
  for (var c = 0u; c < CODES; c++) {
    var score = offsets[head * CODES + c];
    for (var f = 0u; f < F; f++) { score += x[f] * weights[(head * F + f) * CODES + c]; }
    if (score > most) {
      most = score;
      best = c;
    }
  }
  code[row] = best;
}
