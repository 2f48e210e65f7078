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
fn main(@builtin(workgroup_id) m: vec3u, @builtin(num_workgroups) a0: vec3u, @builtin(local_invocation_index) g: u32) {
let h=(m.x+m.y*a0.x)*WG+g;
if(h>=shape.units*shape.keys){return;}
let l=h/shape.keys;
let c1=l%shape.heads;
let d2=l*(D+E+4u);

let b5=1.0/max(means[d2+D+E],1e-9);
var x: array<f32,F>;
for(var f=0u;f<D;f++){x[f]=f32(k[h*D+f])- b5*means[d2+f];}
if(VALUES){
for(var f=D;f<F;f++){x[f]=f32(v[h*E+f - D])- b5*means[d2+f];}
}
var h5=0u;
var most=-3e38;
for(var c=0u;c<CODES;c++){
var a5=offsets[c1*CODES+c];
for(var f=0u;f<F;f++){a5+=x[f]*weights[(c1*F+f)*CODES+c];}
if(a5>most){
most=a5;
h5=c;
}
}
code[h]=h5;
}
`,
};
