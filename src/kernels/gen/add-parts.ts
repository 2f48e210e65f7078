// Made from ../add_parts.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const addPartsKernel: Kernel = {
  name: 'add_parts',
  text: `



// ---- parameters
const WG = 64u;
const MORE = false;
// ---- end
struct Shape {
length: u32,
parts: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) m: vec3u, @builtin(num_workgroups) a0: vec3u, @builtin(local_invocation_index) g: u32) {
let i=(m.x+m.y*a0.x)*WG+g;
if(i>=shape.length){return;}
var a4=0.0;
if(MORE){a4=out[i];}
for(var p=0u;p<shape.parts;p++){a4+=parts[p*shape.length+i];}
out[i]=a4;
}
`,
};
