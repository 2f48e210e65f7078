// matmul.wgsl: c = a b, a plain product to measure a device by: what its kernels are compared with
// in   a [N,N]  b [N,N]    out  c [N,N]    N a multiple of 64
// grid one workgroup a 64 × 64 tile of c, 256 threads, 4 × 4 numbers a thread
// ---- parameters
const N = 256u;
// ---- end
struct Shape {
  unused: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;

const QUADS = N / 4u;
const DEPTH = 16u;

var<workgroup> rows: array<vec4<f32>, 64u * DEPTH / 4u>;
var<workgroup> columns: array<vec4<f32>, DEPTH * 16u>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let top = group.x / (N / 64u) * 64u;
  let left = group.x % (N / 64u) * 16u;
  let i = thread / 16u * 4u;
  let j = thread % 16u;
  var sums: array<vec4<f32>, 4>;
  for (var depth = 0u; depth < QUADS; depth += DEPTH / 4u) {
    workgroupBarrier();
    rows[thread] = a[(top + thread / 4u) * QUADS + depth + thread % 4u];
    columns[thread] = b[(4u * depth + thread / 16u) * QUADS + left + thread % 16u];
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) {
      let right = columns[d * 16u + j];
      for (var r = 0u; r < 4u; r++) { sums[r] += rows[(i + r) * (DEPTH / 4u) + d / 4u][d % 4u] * right; }
    }
  }
  for (var r = 0u; r < 4u; r++) { c[(top + i + r) * QUADS + left + j] = sums[r]; }
}
