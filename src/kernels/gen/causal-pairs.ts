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
@builtin(workgroup_id)group: vec3u,
@builtin(num_workgroups)groups: vec3u,
@builtin(local_invocation_index)thread: u32,
) {
let chunks=(shape.tokens+CHUNK - 1u)/CHUNK;
let item=group.x+group.y*groups.x;
if(item>=shape.units*chunks){return;}
let unit=item/chunks;
let start=item%chunks*CHUNK;
let keyUnit=unit/shape.span;
let head=keyUnit%shape.keyHeads;
let count=min(CHUNK,shape.tokens - start);

var most: array<f32,PAIRS>;
var total: array<f32,PAIRS>;
for(var p=0u;p<PAIRS;p++){most[p]=NOTHING;}
for(var first=0u;first<M;first+=FEATURES){
workgroupBarrier();
for(var at=thread;at<CHUNK*FEATURES;at+=WG){
let t=at/FEATURES;
let r=first+at%FEATURES;
queryLogits[at]=NOTHING;
keyLogits[at]=NOTHING;
if(r<M&&t<count){
let given=bias[keyUnit*shape.tokens+start+t];
var onQuery=sums(0.0);
var onKey=sums(0.0);
for(var d=0u;d<DL;d++){
let w=sums(omega[(head*M+r)*DL+d]);
onQuery+=w*sums(q[(unit*shape.tokens+start+t)*DL+d]);
onKey+=w*sums(k[(keyUnit*shape.tokens+start+t)*DL+d]);
}
queryLogits[at]=shape.scale*dot(vec4f(onQuery),FOLD);
if(given>HIDDEN){
keyLogits[at]=shape.scale*dot(vec4f(onKey),FOLD)+given;
if(WEIGHTED){keyLogits[at]+=2.0*featureBias[head*M+r];}
}
}
}
workgroupBarrier();
let features=min(FEATURES,M - first);
for(var p=0u;p<PAIRS;p++){
let i=(p*WG+thread)/CHUNK;
let j=(p*WG+thread)%CHUNK;
if(i>=count||j>i||keyLogits[j*FEATURES]<=HIDDEN){continue;}
var high=most[p];
for(var r=0u;r<features;r++){
high=max(high,queryLogits[i*FEATURES+r]+keyLogits[j*FEATURES+r]);
}
var sum=total[p]*exp(most[p] - high);
for(var r=0u;r<features;r++){
sum+=exp(queryLogits[i*FEATURES+r]+keyLogits[j*FEATURES+r] - high);
}
most[p]=high;
total[p]=sum;
}
}
for(var p=0u;p<PAIRS;p++){
weights[p*WG+thread]=select(NOTHING,most[p]+log(total[p]),total[p]>0.0);
}
let t=thread/THREADS;
let row=unit*shape.tokens+start+t;

var before=NOTHING;
if(t<count){before=lse[row];}
workgroupBarrier();

if(t>=count){return;}
var high=before;
for(var j=0u;j<=t;j++){high=max(high,weights[t*CHUNK+j]);}
let found=high>HIDDEN;
let kept=select(0.0,exp(before - high),before>HIDDEN);
var mass=kept;
for(var j=0u;found&&j<=t;j++){mass+=exp(weights[t*CHUNK+j] - high);}
let inverse=select(0.0,1.0/mass,found);
for(var e=thread%THREADS;e<EL;e+=THREADS){
var acc=kept*sums(out[row*EL+e]);
for(var j=0u;found&&j<=t;j++){
let weight=exp(weights[t*CHUNK+j] - high);
if(weight>0.0){acc+=weight*sums(v[(keyUnit*shape.tokens+start+j)*EL+e]);}
}
out[row*EL+e]=result(inverse*acc);
}
if(thread%THREADS==0u){lse[row]=select(NOTHING,high+log(mass),found);}
}
`,
};
