// Made from ../decode.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const decodeKernel: Kernel = {
  name: 'decode',
  text: `






// ---- parameters
alias elem = f32;
const D = 64u;
const E = 64u;
const M = 64u;
const WG = 64u;
const WEIGHTED = false;
// ---- end
struct Shape {
units: u32,
span: u32,
keyHeads: u32,
scale: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<elem>;
@group(0) @binding(2) var<storage, read> k: array<elem>;
@group(0) @binding(3) var<storage, read> v: array<elem>;
@group(0) @binding(4) var<storage, read> omega: array<elem>;
@group(0) @binding(5) var<storage, read> featureBias: array<f32>;
@group(0) @binding(6) var<storage, read_write> kv: array<f32>;
@group(0) @binding(7) var<storage, read_write> mass: array<f32>;
@group(0) @binding(8) var<storage, read_write> out: array<elem>;

const HIDDEN = -1e30;

var<workgroup> logits: array<f32, M>;
var<workgroup> masses: array<f32, M>;

@compute @workgroup_size(WG)
fn main(
@builtin(workgroup_id)group: vec3u,
@builtin(num_workgroups)groups: vec3u,
@builtin(local_invocation_index)thread: u32,
) {
let unit=group.x+group.y*groups.x;
if(unit>=shape.units){return;}
let head=unit%shape.keyHeads;
var square=0.0;
for(var d=0u;d<D;d++){
let x=shape.scale*f32(k[unit*D+d]);
square+=x*x;
}
for(var r=thread;r<M;r+=WG){
var product=0.0;
for(var d=0u;d<D;d++){product+=f32(omega[(head*M+r)*D+d])*f32(k[unit*D+d]);}
let own=shape.scale*product - 0.5*square;
let old=mass[unit*M+r];
let high=max(old,own);
let grown=high+log(exp(old - high)+exp(own - high));
let share=exp(own - grown);
for(var e=0u;e<E;e++){
let at=(unit*M+r)*E+e;

let before=select(0.0,kv[at],old>HIDDEN);
kv[at]=before+share*(f32(v[unit*E+e])- before);
}
mass[unit*M+r]=grown;
masses[r]=grown;
if(WEIGHTED){masses[r]+=2.0*featureBias[head*M+r];}
}
storageBarrier();
for(var h=0u;h<shape.span;h++){
let query=unit*shape.span+h;
workgroupBarrier();
for(var r=thread;r<M;r+=WG){
var product=0.0;
for(var d=0u;d<D;d++){product+=f32(omega[(head*M+r)*D+d])*f32(q[query*D+d]);}
logits[r]=shape.scale*product+masses[r];
}
workgroupBarrier();
var most=logits[0];
for(var r=1u;r<M;r++){most=max(most,logits[r]);}
var total=0.0;
for(var r=0u;r<M;r++){total+=exp(logits[r] - most);}
for(var e=thread;e<E;e+=WG){
var sum=0.0;
for(var r=0u;r<M;r++){sum+=exp(logits[r] - most)*kv[(unit*M+r)*E+e];}
out[query*E+e]=elem(sum/total);
}
}
}
`,
};
