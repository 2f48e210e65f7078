// add_parts.wgsl: out[i] = Σ_p parts[p,i], with MORE + what is there
// in   parts [P,L]    in and out  out [L]
// grid one thread an i, WG threads a workgroup, in rows of num_workgroups.x
// bound 1e-5, test/kernels/hybrid.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
const WG = 64u;
const MORE = false;
// ---- end
struct Shape {
  length: u32, // L
  parts: u32, // P
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = (group.x + group.y * groups.x) * WG + thread;
  if (i >= shape.length) { return; }
  var sum = 0.0;
  if (MORE) { sum = out[i]; }
  for (var p = 0u; p < shape.parts; p++) { sum += parts[p * shape.length + i]; }
  out[i] = sum;
}
