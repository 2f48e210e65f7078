// Made from ../assign.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const assignKernel: Kernel = {
  name: 'assign',
  text: `





// ---- parameters
alias elem = f32;
const D = 64u;
const E = 64u;
const CODES = 32u;
const WG = 64u;
const VALUES = false;
// ---- end
struct Shape {
units: u32,
keys: u32,
heads: u32,
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
let row=(group.x+group.y*groups.x)*WG+thread;
if(row>=shape.units*shape.keys){return;}
let unit=row/shape.keys;
let head=unit%shape.heads;
let meanAt=unit*(D+E+4u);

let inverse=1.0/max(means[meanAt+D+E],1e-9);
var x: array<f32,F>;
for(var f=0u;f<D;f++){x[f]=f32(k[row*D+f])- inverse*means[meanAt+f];}
if(VALUES){
for(var f=D;f<F;f++){x[f]=f32(v[row*E+f - D])- inverse*means[meanAt+f];}
}
var best=0u;
var most=-3e38;
for(var c=0u;c<CODES;c++){
var score=offsets[head*CODES+c];
for(var f=0u;f<F;f++){score+=x[f]*weights[(head*F+f)*CODES+c];}
if(score>most){
most=score;
best=c;
}
}
code[row]=best;
}
`,
};
