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


fn band(position: u32) -> vec2<i32> {
let at=i32(position)+shape.offset;
let size=i32(shape.block);

let start=at -((at%size)+size)%size;
var end=start+size+shape.after;
if(shape.causal==1u){end=min(end,at+1);}
return vec2<i32>(start - shape.before,end)- vec2<i32>(i32(shape.firstKey));
}

@compute @workgroup_size(WG)
fn main(
@builtin(workgroup_id)group: vec3u,
@builtin(num_workgroups)groups: vec3u,
@builtin(local_invocation_index)thread: u32,
) {
let tiles=(shape.rows+ROWS - 1u)/ROWS;
var item=group.x+group.y*groups.x;
if(item>=shape.units*tiles*shape.parts){return;}
if(QUEUE){
if(item>=blocks[shape.queueAt]){return;}
item=blocks[shape.queueAt+1u+item];
}
let part=item%shape.parts;
let tile=item/shape.parts%tiles;
let unit=item/(shape.parts*tiles);
let row=tile*ROWS+thread/SPLIT;
let inside=row<shape.rows;
let lane=thread%SPLIT;
let place=(part*shape.units+unit)*shape.rows+row;

var x: array<sums,DL>;
var acc: array<sums,EL>;
var most=NOTHING;
var total=0.0;
if(inside){
let at=(unit%shape.qUnits*shape.rows+row)*DL;
for(var d=0u;d<DL;d++){x[d]=shape.scale*sums(q[at+d]);}
if(RESUME&&lane==0u){
let before=lse[place];
if(before>HIDDEN){
most=before;
total=1.0;
for(var e=0u;e<EL;e++){acc[e]=sums(out[place*EL+e]);}
}
}
}

var begin=i32(part*shape.perPart);
var end=min(begin+i32(shape.perPart),i32(shape.keys));
var mine=vec2<i32>(begin,end);
if(BAND){

let first=tile*ROWS;
let last=min(tile*ROWS+ROWS,shape.rows)- 1u;
let across=first/shape.tokens!=last/shape.tokens;
let low=band(select(first%shape.tokens,0u,across));
let high=band(select(last%shape.tokens,shape.tokens - 1u,across));
begin=max(begin,low.x);
end=min(end,high.y);
mine=band(row%shape.tokens);
}
let list=(unit*tiles+tile)*shape.listStride;
var steps=max(0,end - begin+i32(TILE)- 1)/i32(TILE);
if(LIST){steps=i32(blocks[list]*(LISTED/TILE));}

let chunk=tile*ROWS/shape.setRows;
let kAt=unit/shape.kSpan%shape.kUnits*shape.keys*DL;
let vAt=(chunk*shape.vUnits+unit/shape.kSpan%shape.vUnits)*shape.keys*EL;
let biasAt=(chunk*shape.biasUnits+unit/shape.biasSpan%shape.biasUnits)*shape.keys;
for(var step=0;step<steps;step++){
var start=begin+step*i32(TILE);
if(LIST){
let sub=u32(step)%(LISTED/TILE);
start=i32(blocks[list+1u+u32(step)/(LISTED/TILE)]*LISTED+sub*TILE);
}
let count=u32(clamp(end - start,0,i32(TILE)));
workgroupBarrier();
for(var i=thread;i<count*DL;i+=WG){tileKeys[i]=sums(k[kAt+u32(start)*DL+i]);}
for(var i=thread;i<count*EL;i+=WG){tileValues[i]=sums(v[vAt+u32(start)*EL+i]);}
if(BIAS){
for(var i=thread;i<count;i+=WG){tileBias[i]=bias[biasAt+u32(start)+i];}
}
workgroupBarrier();
for(var t=lane;t<count;t+=SPLIT){
if(BAND){
let j=start+i32(t);
if(j<mine.x||j>=mine.y){continue;}
}
var score=0.0;
if(BIAS){
score=tileBias[t];
if(score<=HIDDEN){continue;}
}
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

if(SPLIT>1u){
exchangeMost[thread]=most;
exchangeTotal[thread]=total;
workgroupBarrier();
let own=thread - lane;
var highest=NOTHING;
for(var s=0u;s<SPLIT;s++){highest=max(highest,exchangeMost[own+s]);}
let share=exp(most - highest);
total=0.0;
for(var s=0u;s<SPLIT;s++){total+=exchangeTotal[own+s]*exp(exchangeMost[own+s] - highest);}
most=highest;
for(var e=0u;e<EL;e++){
exchange[thread]=share*acc[e];
workgroupBarrier();
if(lane==0u){
var gathered=sums(0.0);
for(var s=0u;s<SPLIT;s++){gathered+=exchange[own+s];}
acc[e]=gathered;
}
workgroupBarrier();
}
}
if(!inside||lane!=0u){return;}
let found=total>0.0;
let inverse=select(0.0,1.0/total,found);
for(var e=0u;e<EL;e++){out[place*EL+e]=result(inverse*acc[e]);}
lse[place]=select(NOTHING,most+log(total),found);
}
`,
};
