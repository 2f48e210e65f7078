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


fn rising(x: f32) -> u32 {
let bits=bitcast<u32>(x);
return bits ^ select(0x80000000u,0xffffffffu,bits>>31u==1u);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
let unit=group.x+group.y*groups.x;
if(unit>=shape.units){return;}
let at=unit*shape.keys;
let kAt=unit*shape.keys*D;
let queryAt=unit%shape.heads*D;
let biasAt=unit/shape.heads*shape.keys;

let share=(shape.keys+WG - 1u)/WG;
let begin=min(thread*share,shape.keys);
let end=min(begin+share,shape.keys);
for(var j=begin;j<end;j++){
var given=0.0;
if(BIAS){given=bias[biasAt+j];}
var score=given;
for(var d=0u;SCORED&&d<D;d++){score+=f32(k[kAt+j*D+d])*query[queryAt+d];}
var rank=max(1u,rising(score));
if(j<shape.sinks){rank=0xffffffffu - j;}
if(LISTED){
rank=0u;
for(var s=0u;s<shape.count;s++){rank|=u32(u32(query[s])==j);}
}
order[at+j]=select(rank,0u,given<=HIDDEN);
}
if(thread==0u){
prefix=0u;
wanted=shape.count;
}
workgroupBarrier();
for(var shift=24i;shift>=0;shift -=8){
for(var b=thread;b<256u;b+=WG){atomicStore(&bins[b],0u);}
workgroupBarrier();
let high=workgroupUniformLoad(&prefix);
for(var j=begin;j<end;j++){
let rank=order[at+j];

let upper=rank>>u32(shift);
if(rank!=0u&&(upper>>8u)==high){atomicAdd(&bins[upper&255u],1u);}
}
workgroupBarrier();
if(thread==0u){
var bin=255u;
var left=wanted;

for(;bin>0u;bin--){
let inside=atomicLoad(&bins[bin]);
if(inside>=left){break;}
left -=inside;
}
wanted=left;
prefix=(prefix<<8u)|bin;
}
workgroupBarrier();
}
let threshold=workgroupUniformLoad(&prefix);
let equals=workgroupUniformLoad(&wanted);
var higher=0u;
var same=0u;
for(var j=begin;j<end;j++){
let rank=order[at+j];
if(rank==0u){continue;}
higher+=u32(rank>threshold);
same+=u32(rank==threshold);
}
above[thread]=higher;
level[thread]=same;
workgroupBarrier();
var higherBefore=0u;
var sameBefore=0u;
var higherAll=0u;
var sameAll=0u;
for(var t=0u;t<WG;t++){
if(t<thread){
higherBefore+=above[t];
sameBefore+=level[t];
}
higherAll+=above[t];
sameAll+=level[t];
}
let list=unit*shape.count*2u;
for(var j=begin;j<end;j++){
let rank=order[at+j];
var given=0.0;
if(BIAS){given=max(bias[biasAt+j],NOTHING);}
var slot=shape.count;
if(rank!=0u&&rank>threshold){
slot=higherBefore;
higherBefore++;
}else if(rank!=0u&&rank==threshold){
if(sameBefore<equals){slot=higherAll+sameBefore;}
sameBefore++;
}
let taken=slot<shape.count;
if(taken){
chosen[list+2u*slot]=j;
chosen[list+2u*slot+1u]=bitcast<u32>(given);
}
rest[unit*shape.keys+j]=select(given,NOTHING,taken);
}
for(var slot=higherAll+min(sameAll,equals)+thread;slot<shape.count;slot+=WG){
chosen[list+2u*slot]=shape.keys;
chosen[list+2u*slot+1u]=0u;
}
}
`,
};
