// Made from ../quantize.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const quantizeKernel: Kernel = {
  name: 'quantize',
  text: `








// ---- parameters
alias elem = f32;
const D = 64u;
const BITS = 8u;
const WG = 64u;
const CENTRED = false;
const LIMITED = false;
const BIAS = false;
// ---- end
struct Shape {
units: u32,
rows: u32,
span: u32,
biasSpan: u32,
factor: f32,
shift: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> words: array<u32>;
@group(0) @binding(5) var<storage, read_write> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> limits: array<f32>;

const EACH = 32u / BITS;
const W = (D + EACH - 1u) / EACH;
const LEVELS = f32(max(1u, (1u << (BITS - 1u)) - 1u));
const HIDDEN = -1e30;

@compute @workgroup_size(WG)
fn main(
@builtin(workgroup_id)m: vec3u,
@builtin(num_workgroups)a0: vec3u,
@builtin(local_invocation_index)g: u32,
) {
let h=(m.x+m.y*a0.x)*WG+g;
if(h>=shape.units*shape.rows){return;}
let l=h/shape.rows;
let d2=l/shape.span*(2u*D+4u);
var y: array<f32,D>;
var most=0.0;
var a4=0.0;
var d4=0.0;
let b5=1.0/max(sums[d2+2u*D],1e-9);
for(var d=0u;d<D;d++){
let b0=f32(x[h*D+d]);
let j1=b5*sums[d2+d];
d4+=b0*j1;
y[d]=b0 - select(0.0,j1,CENTRED);
most=max(most,abs(y[d]));
a4+=abs(y[d]);
}
if(LIMITED){limits[h]+=shape.shift - shape.factor*d4;}

var b9=select(max(most,1e-30)/LEVELS,a4/f32(D),BITS==1u);
for(var w=0u;w<W;w++){
var b3=0u;
for(var e=0u;e<EACH&&w*EACH+e<D;e++){
let b0=y[w*EACH+e];
var code=u32(b0<0.0);
if(BITS>1u){code=bitcast<u32>(i32(round(b0/b9)))&((1u<<BITS)- 1u);}
b3|=code<<(e*BITS);
}
words[h*W+w]=b3;
}
if(BIAS){
let given=bias[l/shape.biasSpan*shape.rows+h%shape.rows];
if(given<=HIDDEN){b9=-1.0;}
}
scales[h]=b9;
}
`,
};
