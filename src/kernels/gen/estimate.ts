// Made from ../estimate.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const estimateKernel: Kernel = {
  name: 'estimate',
  text: `







// ---- parameters
const D = 64u;
const BITS = 8u;
const ROWS = 64u;
const KEYS = 32u;
// ---- end
struct Shape {
units: u32,
span: u32,
tokens: u32,
keys: u32,
causal: u32,
sinks: u32,
local: i32,
offset: i32,
factor: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> queries: array<u32>;
@group(0) @binding(2) var<storage, read> queryScales: array<f32>;
@group(0) @binding(3) var<storage, read> limits: array<f32>;
@group(0) @binding(4) var<storage, read> keys: array<u32>;
@group(0) @binding(5) var<storage, read> keyScales: array<f32>;
@group(0) @binding(6) var<storage, read_write> marks: array<u32>;

const EACH = 32u / BITS;
const W = (D + EACH - 1u) / EACH;

var<workgroup> tile: array<u32, KEYS * W>;
var<workgroup> tileScales: array<f32, KEYS>;
var<workgroup> marked: atomic<u32>;

fn b8(a: u32, b: u32) -> i32 {
if(BITS==1u){return -2*i32(countOneBits(a ^ b));}
if(BITS==8u){return dot4I8Packed(a,b);}

let c8=0xf0f0f0f0u;
return(dot4I8Packed(a&c8,b&c8)+dot4I8Packed((a<<4u)&c8,(b<<4u)&c8))/256;
}

@compute @workgroup_size(ROWS)
fn main(
@builtin(workgroup_id)m: vec3u,
@builtin(num_workgroups)a0: vec3u,
@builtin(local_invocation_index)g: u32,
) {
let g9=(shape.tokens+ROWS - 1u)/ROWS;
let i8=(shape.keys+KEYS - 1u)/KEYS;
let f2=(i8+31u)/32u;
let n=m.x+m.y*a0.x;
if(n>=shape.units*g9*f2){return;}
let first=n%f2*32u;
let u=n/f2%g9*ROWS;
let l=n/(f2*g9);
let h=l*shape.tokens+u+g;
let b4=u+g<shape.tokens;
let i7=l/shape.span*shape.keys;
var own: array<u32,W>;
var j0=3e38;
var b9=0.0;
if(b4){
for(var w=0u;w<W;w++){own[w]=queries[h*W+w];}
j0=limits[h];
b9=shape.factor*queryScales[h];
}
let g5=i32(u)+shape.offset;
let a3=i32(min(u+ROWS,shape.tokens))- 1+shape.offset;
for(var b=0u;b<min(32u,i8 - first);b++){
let a1=(first+b)*KEYS;
let o=min(KEYS,shape.keys - a1);
let c6=i32(a1+o)- 1;
if(shape.causal==1u&&i32(a1)>a3){break;}
let k6=i32(a1)<=a3+shape.local&&c6>=g5 - shape.local;
if(first+b<shape.sinks||k6){
if(g==0u){atomicOr(&marked,1u<<b);}
continue;
}
workgroupBarrier();
for(var at=g;at<o*W;at+=ROWS){tile[at]=keys[(i7+a1)*W+at];}
for(var at=g;at<o;at+=ROWS){tileScales[at]=keyScales[i7+a1+at];}
workgroupBarrier();
var f9=false;
for(var t=0u;t<o;t++){

if(tileScales[t]<0.0||(shape.causal==1u&&i32(a1+t)>i32(u+g)+shape.offset)){continue;}
var a4=select(0,i32(D),BITS==1u);
for(var w=0u;w<W;w++){a4+=b8(own[w],tile[t*W+w]);}
f9=f9||b9*tileScales[t]*f32(a4)>j0;
}
if(b4&&f9){atomicOr(&marked,1u<<b);}
}
workgroupBarrier();
if(g==0u){marks[n]=atomicLoad(&marked);}
}
`,
};
