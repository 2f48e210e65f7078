// Made from ../scan.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const scanKernel: Kernel = {
  name: 'scan',
  text: `




// ---- parameters
alias sums = vec4<f32>;
const LANES = 4u;
const E = 64u;
const WG = 64u;
const FIRST = false;
// ---- end
struct Shape {
rows: u32,
parts: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> pieces: array<sums>;
@group(0) @binding(2) var<storage, read> masses: array<f32>;
@group(0) @binding(3) var<storage, read> first: array<sums>;
@group(0) @binding(4) var<storage, read> firstMass: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<sums>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

const EL = E / LANES;
const HIDDEN = -1e30;
const NOTHING = -3e38;

@compute @workgroup_size(WG)
fn main(
@builtin(workgroup_id)group: vec3u,
@builtin(num_workgroups)groups: vec3u,
@builtin(local_invocation_index)thread: u32,
) {
let item=(group.x+group.y*groups.x)*WG+thread;
let row=item/EL;
let e=item%EL;
if(row>=shape.rows){return;}
var mass=NOTHING;
var state=sums(0.0);
if(FIRST){
mass=max(NOTHING,firstMass[row]);
state=first[row*EL+e];
}
for(var p=0u;;p++){
out[(p*shape.rows+row)*EL+e]=state;
if(e==0u){lse[p*shape.rows+row]=mass;}
if(p==shape.parts){break;}
let more=masses[p*shape.rows+row];
if(more<=HIDDEN){continue;}
let piece=pieces[(p*shape.rows+row)*EL+e];
let high=max(mass,more);
let total=high+log(exp(mass - high)+exp(more - high));
state=select(sums(0.0),exp(mass - total)*state,mass>HIDDEN)+exp(more - total)*piece;
mass=total;
}
}
`,
};
