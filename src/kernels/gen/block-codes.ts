// Made from ../block_codes.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const blockCodesKernel: Kernel = {
  name: 'block_codes',
  text: `







// ---- parameters
alias elem = f32;
const WG = 64u;
const BIAS = false;
const ONES = false;
const PLANES = false;
// ---- end
struct Shape {
units: u32,
rows: u32,
width: u32,
biasSpan: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> words: array<u32>;
@group(0) @binding(4) var<storage, read_write> scales: array<f32>;

const BLOCK = 64u;
const HIDDEN = -1e30;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) m: vec3u, @builtin(num_workgroups) a0: vec3u, @builtin(local_invocation_index) g: u32) {
let n=(m.x+m.y*a0.x)*WG+g;
let e9=shape.width+u32(ONES);
let blocks=(shape.rows+BLOCK - 1u)/BLOCK;
let a2=n%e9;
let c0=n/e9%blocks;
let l=n/(e9*blocks);
if(l>=shape.units){return;}
let o=min(BLOCK,shape.rows - c0*BLOCK);
var y: array<f32,BLOCK>;
var most=0.0;
for(var e=0u;e<o;e++){
let h=c0*BLOCK+e;
var weight=1.0;
if(BIAS){
let given=bias[l/shape.biasSpan*shape.rows+h];
if(given<=HIDDEN){continue;}
weight=exp(given);
}
y[e]=weight;
if(a2<shape.width){y[e]=weight*f32(x[(l*shape.rows+h)*shape.width+a2]);}
most=max(most,abs(y[e]));
}

let b9=max(most,1e-30)/127.0;
let a6=(l*e9+a2)*blocks+c0;
scales[a6]=b9;
var g8: array<u32,16>;
for(var e=0u;e<o;e++){
let code=bitcast<u32>(i32(round(y[e]/b9)))&255u;
if(PLANES){
for(var p=0u;p<8u;p++){g8[2u*p+e/32u]|=((code>>p)&1u)<<(e%32u);}
}else{
g8[e/4u]|=code<<(e%4u*8u);
}
}
for(var w=0u;w<16u;w++){words[a6*16u+w]=g8[w];}
}
`,
};
