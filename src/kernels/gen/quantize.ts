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
@builtin(workgroup_id)group: vec3u,
@builtin(num_workgroups)groups: vec3u,
@builtin(local_invocation_index)thread: u32,
) {
let row=(group.x+group.y*groups.x)*WG+thread;
if(row>=shape.units*shape.rows){return;}
let unit=row/shape.rows;
let meanAt=unit/shape.span*(2u*D+4u);
var y: array<f32,D>;
var most=0.0;
var sum=0.0;
var product=0.0;
let inverse=1.0/max(sums[meanAt+2u*D],1e-9);
for(var d=0u;d<D;d++){
let value=f32(x[row*D+d]);
let mean=inverse*sums[meanAt+d];
product+=value*mean;
y[d]=value - select(0.0,mean,CENTRED);
most=max(most,abs(y[d]));
sum+=abs(y[d]);
}
if(LIMITED){limits[row]+=shape.shift - shape.factor*product;}

var scale=select(max(most,1e-30)/LEVELS,sum/f32(D),BITS==1u);
for(var w=0u;w<W;w++){
var word=0u;
for(var e=0u;e<EACH&&w*EACH+e<D;e++){
let value=y[w*EACH+e];
var code=u32(value<0.0);
if(BITS>1u){code=bitcast<u32>(i32(round(value/scale)))&((1u<<BITS)- 1u);}
word|=code<<(e*BITS);
}
words[row*W+w]=word;
}
if(BIAS){
let given=bias[unit/shape.biasSpan*shape.rows+row%shape.rows];
if(given<=HIDDEN){scale=-1.0;}
}
scales[row]=scale;
}
`,
};
