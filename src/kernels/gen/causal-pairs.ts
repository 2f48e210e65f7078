// Made from ../causal_pairs.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const causalPairsKernel: Kernel = {
  name: 'causal_pairs',
  text: `







// ---- parameters
alias quad = vec4<f32>;
alias sums = vec4<f32>;
alias result = vec4<f32>;
const LANES = 4u;
const D = 64u;
const E = 64u;
const M = 64u;
const CHUNK = 32u;
const FEATURES = 16u;
const WG = 64u;
const WEIGHTED = false;
// ---- end
struct Shape {
units: u32,
span: u32,
keyHeads: u32,
tokens: u32,
scale: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<quad>;
@group(0) @binding(2) var<storage, read> k: array<quad>;
@group(0) @binding(3) var<storage, read> v: array<quad>;
@group(0) @binding(4) var<storage, read> omega: array<quad>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read> featureBias: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<result>;
@group(0) @binding(8) var<storage, read_write> lse: array<f32>;

const DL = D / LANES;
const EL = E / LANES;
const HIDDEN = -1e30;
const NOTHING = -3e38;
const FOLD = vec4f(1.0, f32(LANES / 4u), f32(LANES / 4u), f32(LANES / 4u));
const PAIRS = CHUNK * CHUNK / WG;
const THREADS = WG / CHUNK;

var<workgroup> queryLogits: array<f32, CHUNK * FEATURES>;
var<workgroup> keyLogits: array<f32, CHUNK * FEATURES>;
var<workgroup> weights: array<f32, CHUNK * CHUNK>;

@compute @workgroup_size(WG)
fn main(
@builtin(workgroup_id)m: vec3u,
@builtin(num_workgroups)a0: vec3u,
@builtin(local_invocation_index)g: u32,
) {
let g1=(shape.tokens+CHUNK - 1u)/CHUNK;
let n=m.x+m.y*a0.x;
if(n>=shape.units*g1){return;}
let l=n/g1;
let u=n%g1*CHUNK;
let f1=l/shape.span;
let c1=f1%shape.keyHeads;
let o=min(CHUNK,shape.tokens - u);

var most: array<f32,PAIRS>;
var total: array<f32,PAIRS>;
for(var p=0u;p<PAIRS;p++){most[p]=NOTHING;}
for(var first=0u;first<M;first+=FEATURES){
workgroupBarrier();
for(var at=g;at<CHUNK*FEATURES;at+=WG){
let t=at/FEATURES;
let r=first+at%FEATURES;
queryLogits[at]=NOTHING;
keyLogits[at]=NOTHING;
if(r<M&&t<o){
let given=bias[f1*shape.tokens+u+t];
var j3=sums(0.0);
var j2=sums(0.0);
for(var d=0u;d<DL;d++){
let w=sums(omega[(c1*M+r)*DL+d]);
j3+=w*sums(q[(l*shape.tokens+u+t)*DL+d]);
j2+=w*sums(k[(f1*shape.tokens+u+t)*DL+d]);
}
queryLogits[at]=shape.scale*dot(vec4f(j3),FOLD);
if(given>HIDDEN){
keyLogits[at]=shape.scale*dot(vec4f(j2),FOLD)+given;
if(WEIGHTED){keyLogits[at]+=2.0*featureBias[c1*M+r];}
}
}
}
workgroupBarrier();
let i1=min(FEATURES,M - first);
for(var p=0u;p<PAIRS;p++){
let i=(p*WG+g)/CHUNK;
let j=(p*WG+g)%CHUNK;
if(i>=o||j>i||keyLogits[j*FEATURES]<=HIDDEN){continue;}
var a3=most[p];
for(var r=0u;r<i1;r++){
a3=max(a3,queryLogits[i*FEATURES+r]+keyLogits[j*FEATURES+r]);
}
var a4=total[p]*exp(most[p] - a3);
for(var r=0u;r<i1;r++){
a4+=exp(queryLogits[i*FEATURES+r]+keyLogits[j*FEATURES+r] - a3);
}
most[p]=a3;
total[p]=a4;
}
}
for(var p=0u;p<PAIRS;p++){
weights[p*WG+g]=select(NOTHING,most[p]+log(total[p]),total[p]>0.0);
}
let t=g/THREADS;
let h=l*shape.tokens+u+t;

var c5=NOTHING;
if(t<o){c5=lse[h];}
workgroupBarrier();

if(t>=o){return;}
var a3=c5;
for(var j=0u;j<=t;j++){a3=max(a3,weights[t*CHUNK+j]);}
let b6=a3>HIDDEN;
let e0=select(0.0,exp(c5 - a3),c5>HIDDEN);
var c7=e0;
for(var j=0u;b6&&j<=t;j++){c7+=exp(weights[t*CHUNK+j] - a3);}
let b5=select(0.0,1.0/c7,b6);
for(var e=g%THREADS;e<EL;e+=THREADS){
var acc=e0*sums(out[h*EL+e]);
for(var j=0u;b6&&j<=t;j++){
let weight=exp(weights[t*CHUNK+j] - a3);
if(weight>0.0){acc+=weight*sums(v[(f1*shape.tokens+u+j)*EL+e]);}
}
out[h*EL+e]=result(b5*acc);
}
if(g%THREADS==0u){lse[h]=select(NOTHING,a3+log(c7),b6);}
}
`,
};
