// Made from ../code_sums.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const codeSumsKernel: Kernel = {
  name: 'code_sums',
  text: `





// ---- parameters
alias elem = f32;
const D = 64u;
const E = 64u;
const CODES = 32u;
const WG = 32u;
const BIAS = false;
const CODED = false;
// ---- end
struct Shape {
units: u32,
keys: u32,
parts: u32,
perPart: u32,
skipped: u32,
biasSpan: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> k: array<elem>;
@group(0) @binding(2) var<storage, read> v: array<elem>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> code: array<u32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;


const F = D + E + 4u;
const HIDDEN = -1e30;
const SLICES = (F + WG - 1u) / WG;

var<workgroup> own: array<f32, CODES * WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) m: vec3u, @builtin(num_workgroups) a0: vec3u, @builtin(local_invocation_index) g: u32) {
let n=m.x+m.y*a0.x;
if(n>=shape.units*shape.parts*SLICES){return;}
let f=n%SLICES*WG+g;
let c3=n/SLICES%shape.parts;
let l=n/(SLICES*shape.parts);
if(f>=F){return;}
for(var c=0u;c<CODES;c++){own[c*WG+g]=0.0;}
let a1=shape.skipped+c3*shape.perPart;
let a7=min(a1+shape.perPart,shape.keys);
let c9=l/shape.biasSpan*shape.keys;
for(var j=a1;j<a7;j++){
var weight=1.0;
if(BIAS){
let given=bias[c9+j];

if(given<=HIDDEN){continue;}
weight=exp(given);
}
var c=0u;
if(CODED){c=code[l*shape.keys+j];}
let h=l*shape.keys+j;
var x=f32(u32(f==D+E));
if(f<D){
x=f32(k[h*D+f]);
}else if(f<D+E){
x=f32(v[h*E+f - D]);
}
own[c*WG+g]+=weight*x;
}
let a6=(c3*shape.units+l)*CODES*F+f;
for(var c=0u;c<CODES;c++){sums[a6+c*F]=own[c*WG+g];}
}
`,
};
