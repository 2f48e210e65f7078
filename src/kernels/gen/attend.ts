// Made from ../attend.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const attendKernel: Kernel = {
  name: 'attend',
  text: `









// ---- parameters
alias quad = vec4<f32>;
alias quadV = vec4<f32>;
alias sums = vec4<f32>;
alias result = vec4<f32>;
const LANES = 4u;
const D = 64u;
const E = 64u;
const ROWS = 64u;
const SPLIT = 1u;
const TILE = 16u;
const BIAS = false;
const BAND = false;
const LIST = false;
const LISTED = 16u;
const QUEUE = false;
const RESUME = false;
// ---- end
struct Shape {
units: u32,
rows: u32,
keys: u32,
parts: u32,
perPart: u32,
tokens: u32,
firstKey: u32,
qUnits: u32,
kUnits: u32,
kSpan: u32,
vUnits: u32,
biasUnits: u32,
biasSpan: u32,
setRows: u32,
listStride: u32,
queueAt: u32,
block: u32,
before: i32,
after: i32,
offset: i32,
causal: u32,
scale: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<quad>;
@group(0) @binding(2) var<storage, read> k: array<quad>;
@group(0) @binding(3) var<storage, read> v: array<quadV>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<result>;
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;

const WG = ROWS * SPLIT;
const DL = D / LANES;
const EL = E / LANES;
const HIDDEN = -1e30;
const NOTHING = -3e38;

const FOLD = vec4f(1.0, f32(LANES / 4u), f32(LANES / 4u), f32(LANES / 4u));

const EXCHANGE = select(1u, WG, SPLIT > 1u);

var<workgroup> tileKeys: array<sums, TILE * DL>;
var<workgroup> tileValues: array<sums, TILE * EL>;
var<workgroup> tileBias: array<f32, TILE>;
var<workgroup> exchange: array<sums, EXCHANGE>;
var<workgroup> exchangeMost: array<f32, EXCHANGE>;
var<workgroup> exchangeTotal: array<f32, EXCHANGE>;


fn g0(position: u32) -> vec2<i32> {
let at=i32(position)+shape.offset;
let f5=i32(shape.block);

let u=at -((at%f5)+f5)%f5;
var a7=u+f5+shape.after;
if(shape.causal==1u){a7=min(a7,at+1);}
return vec2<i32>(u - shape.before,a7)- vec2<i32>(i32(shape.firstKey));
}

@compute @workgroup_size(WG)
fn main(
@builtin(workgroup_id)m: vec3u,
@builtin(num_workgroups)a0: vec3u,
@builtin(local_invocation_index)g: u32,
) {
let c4=(shape.rows+ROWS - 1u)/ROWS;
var n=m.x+m.y*a0.x;
if(n>=shape.units*c4*shape.parts){return;}
if(QUEUE){
if(n>=blocks[shape.queueAt]){return;}
n=blocks[shape.queueAt+1u+n];
}
let c3=n%shape.parts;
let tile=n/shape.parts%c4;
let l=n/(shape.parts*c4);
let h=tile*ROWS+g/SPLIT;
let b4=h<shape.rows;
let b2=g%SPLIT;
let a6=(c3*shape.units+l)*shape.rows+h;

var x: array<sums,DL>;
var acc: array<sums,EL>;
var most=NOTHING;
var total=0.0;
if(b4){
let at=(l%shape.qUnits*shape.rows+h)*DL;
for(var d=0u;d<DL;d++){x[d]=shape.scale*sums(q[at+d]);}
if(RESUME&&b2==0u){
let c5=lse[a6];
if(c5>HIDDEN){
most=c5;
total=1.0;
for(var e=0u;e<EL;e++){acc[e]=sums(out[a6*EL+e]);}
}
}
}

var a1=i32(c3*shape.perPart);
var a7=min(a1+i32(shape.perPart),i32(shape.keys));
var g6=vec2<i32>(a1,a7);
if(BAND){

let first=tile*ROWS;
let c6=min(tile*ROWS+ROWS,shape.rows)- 1u;
let h4=first/shape.tokens!=c6/shape.tokens;
let g5=g0(select(first%shape.tokens,0u,h4));
let a3=g0(select(c6%shape.tokens,shape.tokens - 1u,h4));
a1=max(a1,g5.x);
a7=min(a7,a3.y);
g6=g0(h%shape.tokens);
}
let b1=(l*c4+tile)*shape.listStride;
var k0=max(0,a7 - a1+i32(TILE)- 1)/i32(TILE);
if(LIST){k0=i32(blocks[b1]*(LISTED/TILE));}

let h7=tile*ROWS/shape.setRows;
let d1=l/shape.kSpan%shape.kUnits*shape.keys*DL;
let f7=(h7*shape.vUnits+l/shape.kSpan%shape.vUnits)*shape.keys*EL;
let c9=(h7*shape.biasUnits+l/shape.biasSpan%shape.biasUnits)*shape.keys;
for(var e7=0;e7<k0;e7++){
var u=a1+e7*i32(TILE);
if(LIST){
let l1=u32(e7)%(LISTED/TILE);
u=i32(blocks[b1+1u+u32(e7)/(LISTED/TILE)]*LISTED+l1*TILE);
}
let o=u32(clamp(a7 - u,0,i32(TILE)));
workgroupBarrier();
for(var i=g;i<o*DL;i+=WG){tileKeys[i]=sums(k[d1+u32(u)*DL+i]);}
for(var i=g;i<o*EL;i+=WG){tileValues[i]=sums(v[f7+u32(u)*EL+i]);}
if(BIAS){
for(var i=g;i<o;i+=WG){tileBias[i]=bias[c9+u32(u)+i];}
}
workgroupBarrier();
for(var t=b2;t<o;t+=SPLIT){
if(BAND){
let j=u+i32(t);
if(j<g6.x||j>=g6.y){continue;}
}
var a5=0.0;
if(BIAS){
a5=tileBias[t];
if(a5<=HIDDEN){continue;}
}
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

if(SPLIT>1u){
exchangeMost[g]=most;
exchangeTotal[g]=total;
workgroupBarrier();
let own=g - b2;
var b7=NOTHING;
for(var s=0u;s<SPLIT;s++){b7=max(b7,exchangeMost[own+s]);}
let d5=exp(most - b7);
total=0.0;
for(var s=0u;s<SPLIT;s++){total+=exchangeTotal[own+s]*exp(exchangeMost[own+s] - b7);}
most=b7;
for(var e=0u;e<EL;e++){
exchange[g]=d5*acc[e];
workgroupBarrier();
if(b2==0u){
var d9=sums(0.0);
for(var s=0u;s<SPLIT;s++){d9+=exchange[own+s];}
acc[e]=d9;
}
workgroupBarrier();
}
}
if(!b4||b2!=0u){return;}
let b6=total>0.0;
let b5=select(0.0,1.0/total,b6);
for(var e=0u;e<EL;e++){out[a6*EL+e]=result(b5*acc[e]);}
lse[a6]=select(NOTHING,most+log(total),b6);
}
`,
};
