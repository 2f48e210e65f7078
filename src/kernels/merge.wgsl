// merge.wgsl: softmax attention over a set of keys from that over its parts   (attend.wgsl, causal.ts)
//   lse = log Σ_p exp(lse_p),  out = Σ_p exp(lse_p − lse) out_p     with EVERY that of the first p parts, for p = 0 … P
// in   parts [P,R,E]  masses [P,R]  first [R,E]  firstMass [R]    out  out [R,E]  lse [R], with EVERY [P+1,R,E] and [P+1,R]
//      R rows in all, P parts; with FIRST there is one more part before them
// grid one thread an (r, LANES of E), which goes through the parts; WG threads a workgroup, in rows of num_workgroups.x
// Parts that saw nothing (lse ≤ −1e30) do not count; a row of nothing but such gives out = 0 and lse = −3e38.
// bound 1e-5 (f32), test/kernels/merge.test.ts, causal.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias sums = vec4<f32>; // LANES numbers in f32
alias result = vec4<f32>; // what out is stored as
const LANES = 4u; // 1 where E is not a multiple of 4
const E = 64u;
const WG = 64u;
const FIRST = false;
const EVERY = false;
// ---- end
struct Shape {
  rows: u32,
  parts: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> parts: array<sums>;
@group(0) @binding(2) var<storage, read> masses: array<f32>;
@group(0) @binding(3) var<storage, read> first: array<sums>;
@group(0) @binding(4) var<storage, read> firstMass: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<result>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

const EL = E / LANES;
const HIDDEN = -1e30;
const NOTHING = -3e38;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let item = (group.x + group.y * groups.x) * WG + thread;
  let row = item / EL;
  let e = item % EL;
  if (row >= shape.rows) { return; }
  var most = NOTHING;
  var total = 0.0;
  var acc = sums(0.0);
  if (FIRST && firstMass[row] > HIDDEN) {
    most = firstMass[row];
    total = 1.0;
    acc = first[row * EL + e];
  }
  for (var p = 0u; p <= shape.parts; p++) {
    if (EVERY || p == shape.parts) {
      let place = select(0u, p * shape.rows, EVERY) + row;
      let found = total > 0.0;
      out[place * EL + e] = result(select(0.0, 1.0 / total, found) * acc);
      if (e == 0u) { lse[place] = select(NOTHING, most + log(total), found); }
    }
    if (p == shape.parts) { break; }
    let mass = masses[p * shape.rows + row];
    if (mass <= HIDDEN) { continue; }
    let high = max(most, mass);
    let kept = exp(most - high);
    let weight = exp(mass - high);
    most = high;
    total = kept * total + weight;
    acc = kept * acc + weight * parts[(p * shape.rows + row) * EL + e];
  }
}
