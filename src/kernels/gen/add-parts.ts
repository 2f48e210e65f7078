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
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
let i=(group.x+group.y*groups.x)*WG+thread;
if(i>=shape.length){return;}
var sum=0.0;
if(MORE){sum=out[i];}
for(var p=0u;p<shape.parts;p++){sum+=parts[p*shape.length+i];}
out[i]=sum;
}
`,
};
