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

fn products(a: u32, b: u32) -> i32 {
if(BITS==1u){return -2*i32(countOneBits(a ^ b));}
if(BITS==8u){return dot4I8Packed(a,b);}

let upper=0xf0f0f0f0u;
return(dot4I8Packed(a&upper,b&upper)+dot4I8Packed((a<<4u)&upper,(b<<4u)&upper))/256;
}

@compute @workgroup_size(ROWS)
fn main(
@builtin(workgroup_id)group: vec3u,
@builtin(num_workgroups)groups: vec3u,
@builtin(local_invocation_index)thread: u32,
) {
let rowBlocks=(shape.tokens+ROWS - 1u)/ROWS;
let keyBlocks=(shape.keys+KEYS - 1u)/KEYS;
let perRow=(keyBlocks+31u)/32u;
let item=group.x+group.y*groups.x;
if(item>=shape.units*rowBlocks*perRow){return;}
let first=item%perRow*32u;
let start=item/perRow%rowBlocks*ROWS;
let unit=item/(perRow*rowBlocks);
let row=unit*shape.tokens+start+thread;
let inside=start+thread<shape.tokens;
let keyAt=unit/shape.span*shape.keys;
var own: array<u32,W>;
var limit=3e38;
var scale=0.0;
if(inside){
for(var w=0u;w<W;w++){own[w]=queries[row*W+w];}
limit=limits[row];
scale=shape.factor*queryScales[row];
}
let low=i32(start)+shape.offset;
let high=i32(min(start+ROWS,shape.tokens))- 1+shape.offset;
for(var b=0u;b<min(32u,keyBlocks - first);b++){
let begin=(first+b)*KEYS;
let count=min(KEYS,shape.keys - begin);
let last=i32(begin+count)- 1;
if(shape.causal==1u&&i32(begin)>high){break;}
let near=i32(begin)<=high+shape.local&&last>=low - shape.local;
if(first+b<shape.sinks||near){
if(thread==0u){atomicOr(&marked,1u<<b);}
continue;
}
workgroupBarrier();
for(var at=thread;at<count*W;at+=ROWS){tile[at]=keys[(keyAt+begin)*W+at];}
for(var at=thread;at<count;at+=ROWS){tileScales[at]=keyScales[keyAt+begin+at];}
workgroupBarrier();
var any=false;
for(var t=0u;t<count;t++){

if(tileScales[t]<0.0||(shape.causal==1u&&i32(begin+t)>i32(start+thread)+shape.offset)){continue;}
var sum=select(0,i32(D),BITS==1u);
for(var w=0u;w<W;w++){sum+=products(own[w],tile[t*W+w]);}
any=any||scale*tileScales[t]*f32(sum)>limit;
}
if(inside&&any){atomicOr(&marked,1u<<b);}
}
workgroupBarrier();
if(thread==0u){marks[item]=atomicLoad(&marked);}
}
`,
};
