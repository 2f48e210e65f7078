// Made from ../key_bias.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const keyBiasKernel: Kernel = {
  name: 'key_bias',
  text: `




// ---- parameters
alias quad = vec4<f32>;
alias sums = vec4<f32>;
const LANES = 4u;
const D = 64u;
const WG = 64u;
const BASE = false;
const MORE = false;
const SQUARE = false;
// ---- end
struct Shape {
rows: u32,
keys: u32,
baseUnits: u32,
baseSpan: u32,
moreUnits: u32,
gain: f32,
half: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> base: array<f32>;
@group(0) @binding(2) var<storage, read> more: array<f32>;
@group(0) @binding(3) var<storage, read> k: array<quad>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

const DL = D / LANES;
const NOTHING = -3e38;
const FOLD = vec4f(1.0, f32(LANES / 4u), f32(LANES / 4u), f32(LANES / 4u));

@compute @workgroup_size(WG)
fn main(
@builtin(workgroup_id)group: vec3u,
@builtin(num_workgroups)groups: vec3u,
@builtin(local_invocation_index)thread: u32,
) {
let row=(group.x+group.y*groups.x)*WG+thread;
if(row>=shape.rows){return;}
let unit=row/shape.keys;
let key=row%shape.keys;
var sum=0.0;
if(SQUARE){
var squares=sums(0.0);
for(var d=0u;d<DL;d++){
let x=sums(k[row*DL+d]);
squares+=x*x;
}
sum -=shape.half*dot(vec4f(squares),FOLD);
}
if(MORE){sum+=shape.gain*more[unit%shape.moreUnits*shape.keys+key];}

if(BASE){sum+=max(base[unit/shape.baseSpan%shape.baseUnits*shape.keys+key],NOTHING);}
out[row]=max(sum,NOTHING);
}
`,
};
