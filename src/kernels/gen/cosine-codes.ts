// Made from ../cosine_codes.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const cosineCodesKernel: Kernel = {
  name: 'cosine_codes',
  text: `






// ---- parameters
alias elem = f32;
const D = 64u;
const BITS = 8u;
const WG = 64u;
const ALONG_ROWS = false;
// ---- end
struct Shape {
units: u32,
heads: u32,
span: u32,
rows: u32,
features: u32,
gain: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> omega: array<elem>;
@group(0) @binding(3) var<storage, read> phase: array<f32>;
@group(0) @binding(4) var<storage, read_write> words: array<u32>;

const EACH = 32u / BITS;
const TURN = 0.15915494309189535;


fn cosine(angle: f32) -> f32 {
let turns=angle*TURN;
let y=(0.25 - abs(turns - round(turns)))/TURN;
let z=y*y;
return y*(1.0+z*(-1.0/6.0+z*(1.0/120.0+z*(-1.0/5040.0+z*(1.0/362880.0 - z/39916800.0)))));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
let item=(group.x+group.y*groups.x)*WG+thread;

let lines=select(shape.rows,shape.features,ALONG_ROWS);
let length=select(shape.features,shape.rows,ALONG_ROWS);
let perLine=(length+63u)/64u*2u*BITS;

let line=select(item/perLine,item%lines,ALONG_ROWS)%lines;
let at=select(item%perLine,item/lines%perLine,ALONG_ROWS);
let unit=item/(lines*perLine);
if(unit>=shape.units){return;}
let head=unit%shape.heads/shape.span;
var own: array<f32,D>;
for(var d=0u;d<D;d++){
if(ALONG_ROWS){
own[d]=f32(omega[(head*shape.features+line)*D+d]);
}else{
own[d]=f32(x[(unit*shape.rows+line)*D+d]);
}
}
var word=0u;
for(var e=0u;e<EACH;e++){
let other=at*EACH+e;
if(other>=length){break;}
let feature=head*shape.features+select(other,line,ALONG_ROWS);
let row=unit*shape.rows+select(line,other,ALONG_ROWS);
var product=0.0;
for(var d=0u;d<D;d++){
if(ALONG_ROWS){
product+=own[d]*f32(x[row*D+d]);
}else{
product+=own[d]*f32(omega[feature*D+d]);
}
}
let value=cosine(shape.gain*product+phase[feature]);
if(BITS==8u){word|=(bitcast<u32>(i32(round(127.0*value)))&255u)<<(8u*e);}
if(BITS==4u){word|=(bitcast<u32>(i32(round(7.0*value)))&15u)<<(e%4u*8u+e/4u*4u);}
if(BITS==1u){word|=u32(value<0.0)<<e;}
}
words[(unit*lines+line)*perLine+at]=word;
}
`,
};
