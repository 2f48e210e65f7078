// move.wgsl: a range of an array to or from an array of its own, for bindings that could not begin where it does   (pieces.ts)
// in   given    out  out    `length` numbers from element givenBase on, to those from outBase on
// grid one thread a number, WG threads a workgroup, in rows of num_workgroups.x
// bit by bit; test/kernels/pieces.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias elem = u32; // f16 where numbers have two bytes; of others the bits are what is moved
const WG = 64u;
// ---- end
struct Shape {
  length: u32,
  givenBase: u32,
  outBase: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> given: array<elem>;
@group(0) @binding(2) var<storage, read_write> out: array<elem>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let at = (group.x + group.y * groups.x) * WG + thread;
  if (at < shape.length) { out[shape.outBase + at] = given[shape.givenBase + at]; }
}
