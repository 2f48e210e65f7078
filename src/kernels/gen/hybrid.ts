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


fn absorb(count: u32, lane: u32) {
for(var t=lane;t<count;t+=SPLIT){
var score=tileBias[t];
if(score<=HIDDEN){continue;}
var products=sums(0.0);
for(var d=0u;d<DL;d++){products+=x[d]*tileKeys[t*DL+d];}
score+=dot(vec4f(products),FOLD);
if(score>most){
let shrink=exp(most - score);
total*=shrink;
for(var e=0u;e<EL;e++){acc[e]*=shrink;}
most=score;
}
let weight=exp(score - most);
total+=weight;
for(var e=0u;e<EL;e++){acc[e]+=weight*tileValues[t*EL+e];}
}
}


fn patchAt(place: vec2i) -> u32 {
let within=all(place>=vec2i(0))&&all(place<vec2i(vec2u(shape.across,shape.down)));
return select(shape.keys,shape.front+u32(place.y)*shape.across+u32(place.x),within);
}


fn tokenAt(corner: vec2i, side: u32, i: u32) -> u32 {
if(side==0u){return u32(corner.x)+i;}
return patchAt(corner+vec2i(vec2u(i%side,i/side)));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
let acrossTiles=(shape.across+max(SIDE,1u)- 1u)/max(SIDE,1u);
let inTiles=acrossTiles*((shape.down+max(SIDE,1u)- 1u)/max(SIDE,1u));

let inRow=select(shape.front,shape.tokens,SIDE==0u);
let tiles=inTiles+(inRow+ROWS - 1u)/ROWS;
let item=group.x+group.y*groups.x;
if(item>=shape.units*tiles){return;}
let unit=item/tiles;
let tile=item%tiles;
let inImage=tile<inTiles;
let side=select(0u,SIDE,inImage);
let first=(tile - inTiles)*ROWS;
let reach=i32(shape.halo);
var corner=vec2i(i32(first),0);
var around=vec2i(i32(first - min(first,shape.halo)),0);
var nearby=min(first+ROWS+shape.halo,shape.keys)- u32(around.x);
var span=0u;
if(inImage){
corner=vec2i(vec2u(tile%acrossTiles,tile/acrossTiles)*SIDE);
around=corner - reach;
span=SIDE+2u*shape.halo;
nearby=span*span;
}else if(SIDE>0u){
around=vec2i(0);
nearby=shape.keys;
}

let codes=select(0u,CODES,inImage||SIDE==0u);
let row=tokenAt(corner,side,thread/SPLIT);
let lane=thread%SPLIT;
let inside=row<select(inRow,shape.tokens,inImage);
if(inside){
let at=(unit*shape.tokens+row)*DL;
for(var d=0u;d<DL;d++){x[d]=shape.scale*sums(q[at+d]);}
}
let kAt=unit*shape.keys*DL;
let vAt=unit*shape.keys*EL;
let restAt=unit*shape.keys;


let all=nearby+shape.count;
for(var start=0u;start<all;start+=TILE){
let count=min(TILE,all - start);
workgroupBarrier();
for(var i=thread;i<count;i+=WG){
var j=tokenAt(around,span,start+i);
var given=rest[restAt+min(j,shape.keys - 1u)];
if(start+i>=nearby){
let list=(unit*shape.count+start+i - nearby)*2u;
j=chosen[list];
given=bitcast<f32>(chosen[list+1u]);
}
tileTokens[i]=min(j,shape.keys - 1u);
tileBias[i]=select(NOTHING,given,j<shape.keys);
}
workgroupBarrier();
for(var i=thread;i<count*DL;i+=WG){tileKeys[i]=sums(k[kAt+tileTokens[i/DL]*DL+i%DL]);}
for(var i=thread;i<count*EL;i+=WG){tileValues[i]=sums(v[vAt+tileTokens[i/EL]*EL+i%EL]);}
workgroupBarrier();
absorb(count,lane);
}

for(var start=0u;start<codes;start+=TILE){
let count=min(TILE,codes - start);
let totalAt=(unit*CODES+start)*FL;
workgroupBarrier();

for(var column=thread;column<=DL+EL;column+=WG){
for(var c=0u;c<count;c++){
let sum=totals[totalAt+c*FL+column];
if(column<DL){
tileKeys[c*DL+column]=sum;
}else if(column<DL+EL){
tileValues[c*EL+column - DL]=sum;
}else{
tileBias[c]=vec4f(sum).x;
}
}
for(var i=0u;i<nearby;i++){
let j=tokenAt(around,span,i);
if(j>=shape.keys){continue;}
let c=code[unit*shape.keys+j] - start;
let given=rest[restAt+j];

if(c>=count||given<=HIDDEN){continue;}
let weight=exp(given);
if(column<DL){
tileKeys[c*DL+column] -=weight*sums(k[kAt+j*DL+column]);
}else if(column<DL+EL){
tileValues[c*EL+column - DL] -=weight*sums(v[vAt+j*EL+column - DL]);
}else{
tileBias[c] -=weight;
}
}
}
workgroupBarrier();
for(var i=thread;i<count*(DL+EL);i+=WG){
let c=i/(DL+EL);
let column=i%(DL+EL);
let inverse=1.0/max(tileBias[c],0.5);
if(column<DL){
tileKeys[c*DL+column]*=inverse;
}else{
tileValues[c*EL+column - DL]*=inverse;
}
}
workgroupBarrier();
for(var c=thread;c<count;c+=WG){
let left=tileBias[c];
tileBias[c]=select(log(max(left,0.5)),NOTHING,left<0.5);
}
workgroupBarrier();
absorb(count,lane);
}

exchangeMost[thread]=most;
exchangeTotal[thread]=total;
workgroupBarrier();
let own=thread - lane;
var highest=NOTHING;
for(var s=0u;s<SPLIT;s++){highest=max(highest,exchangeMost[own+s]);}
var whole=0.0;
for(var s=0u;s<SPLIT;s++){whole+=exchangeTotal[own+s]*exp(exchangeMost[own+s] - highest);}
let share=select(0.0,exp(most - highest)/whole,whole>0.0);
for(var e=0u;e<EL;e++){
exchange[thread]=share*acc[e];
workgroupBarrier();
if(inside&&lane==0u){
var gathered=sums(0.0);
for(var s=0u;s<SPLIT;s++){gathered+=exchange[own+s];}
out[(unit*shape.tokens+row)*EL+e]=result(gathered);
}
workgroupBarrier();
}
}
`,
};
