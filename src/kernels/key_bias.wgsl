// key_bias.wgsl: what is added to the score of a key   (attend.wgsl; attention/double-softmax.ts)
//   out[u,j] = base[u,j] + gain more[u,j] − half |k[u,j]|²     each term where it is asked for
// in   base [·,S]  more [·,S]  k [U,S,D]    out  out [U,S]    arrays of fewer units are shared: (u / span) mod units
// grid one thread a key, WG threads a workgroup, in rows of num_workgroups.x
// A sum below −3e38 is −3e38: the key is hidden. bound 1e-5, test/kernels/double-softmax.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias quad = vec4<f32>; // what k is stored as: LANES numbers
alias sums = vec4<f32>; // the same in f32
const LANES = 4u; // 1 where D is not a multiple of 4
const D = 64u;
const WG = 64u;
const BASE = false;
const MORE = false;
const SQUARE = false;
// ---- end
struct Shape {
  rows: u32, // U·S
  keys: u32, // S
  baseUnits: u32,
  baseSpan: u32,
  moreUnits: u32,
  gain: f32,
  half: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> base: array<f32>;
@group(0) @binding(2) var<storage, read> more: array<f32>;
@group(0) @binding(3) var<storage, read> k: array<quad>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

const DL = D / LANES;
const NOTHING = -3e38;
const FOLD = vec4f(1.0, f32(LANES / 4u), f32(LANES / 4u), f32(LANES / 4u));

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = (group.x + group.y * groups.x) * WG + thread;
  if (row >= shape.rows) { return; }
  let unit = row / shape.keys;
  let key = row % shape.keys;
  var sum = 0.0;
  if (SQUARE) {
    var squares = sums(0.0);
    for (var d = 0u; d < DL; d++) {
      let x = sums(k[row * DL + d]);
      squares += x * x;
    }
    sum -= shape.half * dot(vec4f(squares), FOLD);
  }
  if (MORE) { sum += shape.gain * more[unit % shape.moreUnits * shape.keys + key]; }
  // The largest first term that is no number like the others: infinity is not to be computed with.
  if (BASE) { sum += max(base[unit / shape.baseSpan % shape.baseUnits * shape.keys + key], NOTHING); }
  out[row] = max(sum, NOTHING);
}
