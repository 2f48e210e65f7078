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
@builtin(workgroup_id)m: vec3u,
@builtin(num_workgroups)a0: vec3u,
@builtin(local_invocation_index)g: u32,
) {
let tile=(m.x+m.y*a0.x)*WG+g;
if(tile>=shape.tiles){return;}
let j4=(shape.keyBlocks+31u)/32u;
let b1=tile*(1u+shape.keyBlocks);
var o=0u;
for(var w=0u;w<j4;w++){

for(var b3=marks[tile*j4+w];b3!=0u;b3&=b3 - 1u){
o++;
atomicStore(&blocks[b1+o],32u*w+countTrailingZeros(b3));
}
}
atomicStore(&blocks[b1],o);
if(o==0u){
let l=tile/shape.rowBlocks;
let a1=tile%shape.rowBlocks*ROWS;
for(var h=a1;h<min(a1+ROWS,shape.tokens);h++){lse[l*shape.tokens+h]=NOTHING;}
return;
}
let j5=shape.tiles*(1u+shape.keyBlocks);
let a9=atomicAdd(&blocks[j5],1u);
atomicStore(&blocks[j5+1u+a9],tile);

atomicMax(&groupCounts[0],min(a9+1u,shape.most));
atomicMax(&groupCounts[1],a9/shape.most+1u);
atomicMax(&groupCounts[2],1u);
}
`,
};
