// Made from ../compact.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const compactKernel: Kernel = {
  name: 'compact',
  text: `





// ---- parameters
const ROWS = 64u;
const WG = 64u;
// ---- end
struct Shape {
tiles: u32,
rowBlocks: u32,
tokens: u32,
keyBlocks: u32,
most: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> marks: array<u32>;
@group(0) @binding(2) var<storage, read_write> blocks: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> groupCounts: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

const NOTHING = -3e38;

@compute @workgroup_size(WG)
fn main(
@builtin(workgroup_id)group: vec3u,
@builtin(num_workgroups)groups: vec3u,
@builtin(local_invocation_index)thread: u32,
) {
let tile=(group.x+group.y*groups.x)*WG+thread;
if(tile>=shape.tiles){return;}
let perTile=(shape.keyBlocks+31u)/32u;
let list=tile*(1u+shape.keyBlocks);
var count=0u;
for(var w=0u;w<perTile;w++){

for(var word=marks[tile*perTile+w];word!=0u;word&=word - 1u){
count++;
atomicStore(&blocks[list+count],32u*w+countTrailingZeros(word));
}
}
atomicStore(&blocks[list],count);
if(count==0u){
let unit=tile/shape.rowBlocks;
let begin=tile%shape.rowBlocks*ROWS;
for(var row=begin;row<min(begin+ROWS,shape.tokens);row++){lse[unit*shape.tokens+row]=NOTHING;}
return;
}
let queue=shape.tiles*(1u+shape.keyBlocks);
let slot=atomicAdd(&blocks[queue],1u);
atomicStore(&blocks[queue+1u+slot],tile);

atomicMax(&groupCounts[0],min(slot+1u,shape.most));
atomicMax(&groupCounts[1],slot/shape.most+1u);
atomicMax(&groupCounts[2],1u);
}
`,
};
