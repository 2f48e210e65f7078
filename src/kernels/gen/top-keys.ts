// Made from ../top_keys.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const topKeysKernel: Kernel = {
  name: 'top_keys',
  text: `






// ---- parameters
alias elem = f32;
const D = 64u;
const WG = 256u;
const BIAS = false;
const SCORED = false;
const LISTED = false;
// ---- end
struct Shape {
units: u32,
keys: u32,
heads: u32,
count: u32,
sinks: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> k: array<elem>;
@group(0) @binding(2) var<storage, read> query: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> order: array<u32>;
@group(0) @binding(5) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(6) var<storage, read_write> rest: array<f32>;

const HIDDEN = -1e30;
const NOTHING = -3e38;

var<workgroup> bins: array<atomic<u32>, 256>;

var<workgroup> above: array<u32, WG>;
var<workgroup> level: array<u32, WG>;
var<workgroup> prefix: u32;
var<workgroup> wanted: u32;


fn l0(x: f32) -> u32 {
let h6=bitcast<u32>(x);
return h6 ^ select(0x80000000u,0xffffffffu,h6>>31u==1u);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) m: vec3u, @builtin(num_workgroups) a0: vec3u, @builtin(local_invocation_index) g: u32) {
let l=m.x+m.y*a0.x;
if(l>=shape.units){return;}
let at=l*shape.keys;
let d1=l*shape.keys*D;
let k8=l%shape.heads*D;
let c9=l/shape.heads*shape.keys;

let d5=(shape.keys+WG - 1u)/WG;
let a1=min(g*d5,shape.keys);
let a7=min(a1+d5,shape.keys);
for(var j=a1;j<a7;j++){
var given=0.0;
if(BIAS){given=bias[c9+j];}
var a5=given;
for(var d=0u;SCORED&&d<D;d++){a5+=f32(k[d1+j*D+d])*query[k8+d];}
var a8=max(1u,l0(a5));
if(j<shape.sinks){a8=0xffffffffu - j;}
if(LISTED){
a8=0u;
for(var s=0u;s<shape.count;s++){a8|=u32(u32(query[s])==j);}
}
order[at+j]=select(a8,0u,given<=HIDDEN);
}
if(g==0u){
prefix=0u;
wanted=shape.count;
}
workgroupBarrier();
for(var h0=24i;h0>=0;h0 -=8){
for(var b=g;b<256u;b+=WG){atomicStore(&bins[b],0u);}
workgroupBarrier();
let a3=workgroupUniformLoad(&prefix);
for(var j=a1;j<a7;j++){
let a8=order[at+j];

let c8=a8>>u32(h0);
if(a8!=0u&&(c8>>8u)==a3){atomicAdd(&bins[c8&255u],1u);}
}
workgroupBarrier();
if(g==0u){
var e8=255u;
var c2=wanted;

for(;e8>0u;e8--){
let b4=atomicLoad(&bins[e8]);
if(b4>=c2){break;}
c2 -=b4;
}
wanted=c2;
prefix=(prefix<<8u)|e8;
}
workgroupBarrier();
}
let f6=workgroupUniformLoad(&prefix);
let h9=workgroupUniformLoad(&wanted);
var i4=0u;
var j7=0u;
for(var j=a1;j<a7;j++){
let a8=order[at+j];
if(a8==0u){continue;}
i4+=u32(a8>f6);
j7+=u32(a8==f6);
}
above[g]=i4;
level[g]=j7;
workgroupBarrier();
var g3=0u;
var f4=0u;
var g2=0u;
var j8=0u;
for(var t=0u;t<WG;t++){
if(t<g){
g3+=above[t];
f4+=level[t];
}
g2+=above[t];
j8+=level[t];
}
let b1=l*shape.count*2u;
for(var j=a1;j<a7;j++){
let a8=order[at+j];
var given=0.0;
if(BIAS){given=max(bias[c9+j],NOTHING);}
var a9=shape.count;
if(a8!=0u&&a8>f6){
a9=g3;
g3++;
}else if(a8!=0u&&a8==f6){
if(f4<h9){a9=g2+f4;}
f4++;
}
let k1=a9<shape.count;
if(k1){
chosen[b1+2u*a9]=j;
chosen[b1+2u*a9+1u]=bitcast<u32>(given);
}
rest[l*shape.keys+j]=select(given,NOTHING,k1);
}
for(var a9=g2+min(j8,h9)+g;a9<shape.count;a9+=WG){
chosen[b1+2u*a9]=shape.keys;
chosen[b1+2u*a9+1u]=0u;
}
}
`,
};
