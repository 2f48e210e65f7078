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
@builtin(workgroup_id)m: vec3u,
@builtin(num_workgroups)a0: vec3u,
@builtin(local_invocation_index)g: u32,
) {
let h=(m.x+m.y*a0.x)*WG+g;
if(h>=shape.rows){return;}
let l=h/shape.keys;
let i6=h%shape.keys;
var a4=0.0;
if(SQUARE){
var j9=sums(0.0);
for(var d=0u;d<DL;d++){
let x=sums(k[h*DL+d]);
j9+=x*x;
}
a4 -=shape.half*dot(vec4f(j9),FOLD);
}
if(MORE){a4+=shape.gain*more[l%shape.moreUnits*shape.keys+i6];}

if(BASE){a4+=max(base[l/shape.baseSpan%shape.baseUnits*shape.keys+i6],NOTHING);}
out[h]=max(a4,NOTHING);
}
`,
};
