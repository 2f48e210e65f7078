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


fn k5(angle: f32) -> f32 {
let k2=angle*TURN;
let y=(0.25 - abs(k2 - round(k2)))/TURN;
let z=y*y;
return y*(1.0+z*(-1.0/6.0+z*(1.0/120.0+z*(-1.0/5040.0+z*(1.0/362880.0 - z/39916800.0)))));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) m: vec3u, @builtin(num_workgroups) a0: vec3u, @builtin(local_invocation_index) g: u32) {
let n=(m.x+m.y*a0.x)*WG+g;

let e2=select(shape.rows,shape.features,ALONG_ROWS);
let i9=select(shape.features,shape.rows,ALONG_ROWS);
let e3=(i9+63u)/64u*2u*BITS;

let e1=select(n/e3,n%e2,ALONG_ROWS)%e2;
let at=select(n%e3,n/e2%e3,ALONG_ROWS);
let l=n/(e2*e3);
if(l>=shape.units){return;}
let c1=l%shape.heads/shape.span;
var own: array<f32,D>;
for(var d=0u;d<D;d++){
if(ALONG_ROWS){
own[d]=f32(omega[(c1*shape.features+e1)*D+d]);
}else{
own[d]=f32(x[(l*shape.rows+e1)*D+d]);
}
}
var b3=0u;
for(var e=0u;e<EACH;e++){
let g7=at*EACH+e;
if(g7>=i9){break;}
let i0=c1*shape.features+select(g7,e1,ALONG_ROWS);
let h=l*shape.rows+select(e1,g7,ALONG_ROWS);
var d4=0.0;
for(var d=0u;d<D;d++){
if(ALONG_ROWS){
d4+=own[d]*f32(x[h*D+d]);
}else{
d4+=own[d]*f32(omega[i0*D+d]);
}
}
let b0=k5(shape.gain*d4+phase[i0]);
if(BITS==8u){b3|=(bitcast<u32>(i32(round(127.0*b0)))&255u)<<(8u*e);}
if(BITS==4u){b3|=(bitcast<u32>(i32(round(7.0*b0)))&15u)<<(e%4u*8u+e/4u*4u);}
if(BITS==1u){b3|=u32(b0<0.0)<<e;}
}
words[(l*e2+e1)*e3+at]=b3;
}
`,
};
