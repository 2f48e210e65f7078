// Made from ../hybrid.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const hybridKernel: Kernel = {
  name: 'hybrid',
  text: `










// ---- parameters
alias quad = vec4<f32>;
alias sums = vec4<f32>;
alias result = vec4<f32>;
const LANES = 4u;
const D = 64u;
const E = 64u;
const CODES = 32u;
const ROWS = 32u;
const SIDE = 0u;
const SPLIT = 2u;
const TILE = 16u;
// ---- end
struct Shape {
units: u32,
tokens: u32,
keys: u32,
halo: u32,
front: u32,
down: u32,
across: u32,
count: u32,
scale: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<quad>;
@group(0) @binding(2) var<storage, read> k: array<quad>;
@group(0) @binding(3) var<storage, read> v: array<quad>;
@group(0) @binding(4) var<storage, read> rest: array<f32>;
@group(0) @binding(5) var<storage, read> chosen: array<u32>;
@group(0) @binding(6) var<storage, read> code: array<u32>;
@group(0) @binding(7) var<storage, read> totals: array<sums>;
@group(0) @binding(8) var<storage, read_write> out: array<result>;

const WG = ROWS * SPLIT;
const DL = D / LANES;
const EL = E / LANES;
const FL = DL + EL + 4u / LANES;
const HIDDEN = -1e30;
const NOTHING = -3e38;

const FOLD = vec4f(1.0, f32(LANES / 4u), f32(LANES / 4u), f32(LANES / 4u));

var<workgroup> tileKeys: array<sums, TILE * DL>;
var<workgroup> tileValues: array<sums, TILE * EL>;
var<workgroup> tileBias: array<f32, TILE>;
var<workgroup> tileTokens: array<u32, TILE>;
var<workgroup> exchange: array<sums, WG>;
var<workgroup> exchangeMost: array<f32, WG>;
var<workgroup> exchangeTotal: array<f32, WG>;

var<private> x: array<sums, DL>;
var<private> acc: array<sums, EL>;
var<private> most: f32 = NOTHING;
var<private> total: f32 = 0.0;


fn h3(o: u32, b2: u32) {
for(var t=b2;t<o;t+=SPLIT){
var a5=tileBias[t];
if(a5<=HIDDEN){continue;}
var b8=sums(0.0);
for(var d=0u;d<DL;d++){b8+=x[d]*tileKeys[t*DL+d];}
a5+=dot(vec4f(b8),FOLD);
if(a5>most){
let e4=exp(most - a5);
total*=e4;
for(var e=0u;e<EL;e++){acc[e]*=e4;}
most=a5;
}
let weight=exp(a5 - most);
total+=weight;
for(var e=0u;e<EL;e++){acc[e]+=weight*tileValues[t*EL+e];}
}
}


fn k7(a6: vec2i) -> u32 {
let l3=all(a6>=vec2i(0))&&all(a6<vec2i(vec2u(shape.across,shape.down)));
return select(shape.keys,shape.front+u32(a6.y)*shape.across+u32(a6.x),l3);
}


fn h1(d0: vec2i, e5: u32, i: u32) -> u32 {
if(e5==0u){return u32(d0.x)+i;}
return k7(d0+vec2i(vec2u(i%e5,i/e5)));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) m: vec3u, @builtin(num_workgroups) a0: vec3u, @builtin(local_invocation_index) g: u32) {
let f8=(shape.across+max(SIDE,1u)- 1u)/max(SIDE,1u);
let g4=f8*((shape.down+max(SIDE,1u)- 1u)/max(SIDE,1u));

let i5=select(shape.front,shape.tokens,SIDE==0u);
let c4=g4+(i5+ROWS - 1u)/ROWS;
let n=m.x+m.y*a0.x;
if(n>=shape.units*c4){return;}
let l=n/c4;
let tile=n%c4;
let f0=tile<g4;
let e5=select(0u,SIDE,f0);
let first=(tile - g4)*ROWS;
let k9=i32(shape.halo);
var d0=vec2i(i32(first),0);
var d7=vec2i(i32(first - min(first,shape.halo)),0);
var d3=min(first+ROWS+shape.halo,shape.keys)- u32(d7.x);
var e6=0u;
if(f0){
d0=vec2i(vec2u(tile%f8,tile/f8)*SIDE);
d7=d0 - k9;
e6=SIDE+2u*shape.halo;
d3=e6*e6;
}else if(SIDE>0u){
d7=vec2i(0);
d3=shape.keys;
}

let h8=select(0u,CODES,f0||SIDE==0u);
let h=h1(d0,e5,g/SPLIT);
let b2=g%SPLIT;
let b4=h<select(i5,shape.tokens,f0);
if(b4){
let at=(l*shape.tokens+h)*DL;
for(var d=0u;d<DL;d++){x[d]=shape.scale*sums(q[at+d]);}
}
let d1=l*shape.keys*DL;
let f7=l*shape.keys*EL;
let j6=l*shape.keys;


let all=d3+shape.count;
for(var u=0u;u<all;u+=TILE){
let o=min(TILE,all - u);
workgroupBarrier();
for(var i=g;i<o;i+=WG){
var j=h1(d7,e6,u+i);
var given=rest[j6+min(j,shape.keys - 1u)];
if(u+i>=d3){
let b1=(l*shape.count+u+i - d3)*2u;
j=chosen[b1];
given=bitcast<f32>(chosen[b1+1u]);
}
tileTokens[i]=min(j,shape.keys - 1u);
tileBias[i]=select(NOTHING,given,j<shape.keys);
}
workgroupBarrier();
for(var i=g;i<o*DL;i+=WG){tileKeys[i]=sums(k[d1+tileTokens[i/DL]*DL+i%DL]);}
for(var i=g;i<o*EL;i+=WG){tileValues[i]=sums(v[f7+tileTokens[i/EL]*EL+i%EL]);}
workgroupBarrier();
h3(o,b2);
}

for(var u=0u;u<h8;u+=TILE){
let o=min(TILE,h8 - u);
let l2=(l*CODES+u)*FL;
workgroupBarrier();

for(var a2=g;a2<=DL+EL;a2+=WG){
for(var c=0u;c<o;c++){
let a4=totals[l2+c*FL+a2];
if(a2<DL){
tileKeys[c*DL+a2]=a4;
}else if(a2<DL+EL){
tileValues[c*EL+a2 - DL]=a4;
}else{
tileBias[c]=vec4f(a4).x;
}
}
for(var i=0u;i<d3;i++){
let j=h1(d7,e6,i);
if(j>=shape.keys){continue;}
let c=code[l*shape.keys+j] - u;
let given=rest[j6+j];

if(c>=o||given<=HIDDEN){continue;}
let weight=exp(given);
if(a2<DL){
tileKeys[c*DL+a2] -=weight*sums(k[d1+j*DL+a2]);
}else if(a2<DL+EL){
tileValues[c*EL+a2 - DL] -=weight*sums(v[f7+j*EL+a2 - DL]);
}else{
tileBias[c] -=weight;
}
}
}
workgroupBarrier();
for(var i=g;i<o*(DL+EL);i+=WG){
let c=i/(DL+EL);
let a2=i%(DL+EL);
let b5=1.0/max(tileBias[c],0.5);
if(a2<DL){
tileKeys[c*DL+a2]*=b5;
}else{
tileValues[c*EL+a2 - DL]*=b5;
}
}
workgroupBarrier();
for(var c=g;c<o;c+=WG){
let c2=tileBias[c];
tileBias[c]=select(log(max(c2,0.5)),NOTHING,c2<0.5);
}
workgroupBarrier();
h3(o,b2);
}

exchangeMost[g]=most;
exchangeTotal[g]=total;
workgroupBarrier();
let own=g - b2;
var b7=NOTHING;
for(var s=0u;s<SPLIT;s++){b7=max(b7,exchangeMost[own+s]);}
var d6=0.0;
for(var s=0u;s<SPLIT;s++){d6+=exchangeTotal[own+s]*exp(exchangeMost[own+s] - b7);}
let d5=select(0.0,exp(most - b7)/d6,d6>0.0);
for(var e=0u;e<EL;e++){
exchange[g]=d5*acc[e];
workgroupBarrier();
if(b4&&b2==0u){
var d9=sums(0.0);
for(var s=0u;s<SPLIT;s++){d9+=exchange[own+s];}
out[(l*shape.tokens+h)*EL+e]=result(d9);
}
workgroupBarrier();
}
}
`,
};
