// Made from ../move.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const moveKernel: Kernel = {
  name: 'move',
  text: `



// ---- parameters
alias elem = u32;
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
fn main(@builtin(workgroup_id) m: vec3u, @builtin(num_workgroups) a0: vec3u, @builtin(local_invocation_index) g: u32) {
let at=(m.x+m.y*a0.x)*WG+g;
if(at<shape.length){out[shape.outBase+at]=given[shape.givenBase+at];}
}
`,
};
