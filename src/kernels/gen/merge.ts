// Made from ../merge.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const mergeKernel: Kernel = {
  name: 'merge',
  text: `






// ---- parameters
alias sums = vec4<f32>;
alias result = vec4<f32>;
const LANES = 4u;
const E = 64u;
const WG = 64u;
const FIRST = false;
const EVERY = false;
// ---- end
struct Shape {
rows: u32,
parts: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> parts: array<sums>;
@group(0) @binding(2) var<storage, read> masses: array<f32>;
@group(0) @binding(3) var<storage, read> first: array<sums>;
@group(0) @binding(4) var<storage, read> firstMass: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<result>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

const EL = E / LANES;
const HIDDEN = -1e30;
const NOTHING = -3e38;

@compute @workgroup_size(WG)
fn main(
@builtin(workgroup_id)m: vec3u,
@builtin(num_workgroups)a0: vec3u,
@builtin(local_invocation_index)g: u32,
) {
let n=(m.x+m.y*a0.x)*WG+g;
let h=n/EL;
let e=n%EL;
if(h>=shape.rows){return;}
var most=NOTHING;
var total=0.0;
var acc=sums(0.0);
if(FIRST&&firstMass[h]>HIDDEN){
most=firstMass[h];
total=1.0;
acc=first[h*EL+e];
}
for(var p=0u;p<=shape.parts;p++){
if(EVERY||p==shape.parts){
let a6=select(0u,p*shape.rows,EVERY)+h;
let b6=total>0.0;
out[a6*EL+e]=result(select(0.0,1.0/total,b6)*acc);
if(e==0u){lse[a6]=select(NOTHING,most+log(total),b6);}
}
if(p==shape.parts){break;}
let c7=masses[p*shape.rows+h];
if(c7<=HIDDEN){continue;}
let a3=max(most,c7);
let e0=exp(most - a3);
let weight=exp(c7 - a3);
most=a3;
total=e0*total+weight;
acc=e0*acc+weight*parts[(p*shape.rows+h)*EL+e];
}
}
`,
};
