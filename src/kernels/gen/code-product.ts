// Made from ../code_product.wgsl by scripts/wgsl.ts.
import type { Kernel } from '../kernel.js';

export const codeProductKernel: Kernel = {
  name: 'code_product',
  text: `






// ---- parameters
alias result = f32;
const BITS = 8u;
const NORMAL = false;
// ---- end
struct Shape {
units: u32,
span: u32,
heads: u32,
rows: u32,
columns: u32,
blocks: u32,
parts: u32,
perPart: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<result>;

const WG = 64u;
const ROWS = 32u;
const COLUMNS = 32u;
const WA = 2u * BITS;
const WB = 16u;
const HALF = 0xf0f0f0f0u;

var<workgroup> tileA: array<u32, ROWS * WA>;

var<workgroup> tileB: array<u32, (COLUMNS + 1u) * WB>;
var<workgroup> tileScales: array<f32, COLUMNS + 1u>;


fn c2(r: u32, w: u32) -> u32 {
if(BITS==8u){return tileA[r*WA+w];}
if(BITS==1u){return tileA[r*WA+w%2u];}
return(tileA[r*WA+w/2u]<<(4u*(1u - w%2u)))&HALF;
}

fn b8(x: u32, y: u32, w: u32) -> i32 {
if(BITS!=1u){return dot4I8Packed(x,y);}
let a4=i32(countOneBits(y))- 2*i32(countOneBits(x&y));

return select(a4<<(w/2u),-(a4<<7u),w/2u==7u);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) m: vec3u, @builtin(num_workgroups) a0: vec3u, @builtin(local_invocation_index) g: u32) {
let f3=(shape.rows+ROWS - 1u)/ROWS;
let c6=shape.columns - 1u;
let h2=shape.columns - u32(NORMAL);
let d8=(h2+COLUMNS - 1u)/COLUMNS;
let n=m.x+m.y*a0.x;
if(n>=shape.units*f3*d8*shape.parts){return;}
let i2=n%d8*COLUMNS;
let i3=n/d8%f3*ROWS;
let l=n/(d8*f3)%shape.units;
let c3=n/(d8*f3*shape.units);
let k3=l*shape.rows*shape.blocks*WA;
let k4=l/shape.span*shape.columns;

let own=vec2u(g%8u,g/8u);
var sums: array<array<f32,5>,4>;
let a1=c3*shape.perPart;
let a7=min(a1+shape.perPart,shape.blocks);
for(var c0=a1;c0<a7;c0++){
workgroupBarrier();
for(var i=g;i<ROWS*WA;i+=WG){
let h=min(i3+i/WA,shape.rows - 1u);
tileA[i]=a[k3+(h*shape.blocks+c0)*WA+i%WA];
}
for(var i=g;i<(COLUMNS+1u)*WB;i+=WG){
let a2=min(select(i2+i/WB,c6,i/WB==COLUMNS),c6);
let a6=(k4+a2)*shape.blocks+c0;
tileB[i]=b[a6*WB+i%WB];
if(i%WB==0u){tileScales[i/WB]=scales[a6];}
}
workgroupBarrier();

var d6=array<array<i32,5>,4>();
for(var w=0u;w<WB;w++){
for(var i=0u;i<4u;i++){
let x=c2(own.y+8u*i,w);
for(var j=0u;j<4u+u32(NORMAL);j++){
let a2=select(own.x+8u*j,COLUMNS,j==4u);
d6[i][j]+=b8(x,tileB[a2*WB+w],w);
}
}
}
for(var i=0u;i<4u;i++){
for(var j=0u;j<4u+u32(NORMAL);j++){
sums[i][j]+=tileScales[select(own.x+8u*j,COLUMNS,j==4u)]*f32(d6[i][j]);
}
}
}
for(var i=0u;i<4u;i++){
let h=i3+own.y+8u*i;
if(h>=shape.rows){break;}
for(var j=0u;j<4u;j++){
let a2=i2+own.x+8u*j;
if(a2>=h2){break;}
var b0=sums[i][j];
if(NORMAL){
let total=sums[i][4];
b0=select(0.0,b0/select(1.0,total,total!=0.0),total!=0.0);
}else{
b0*=weight[l%shape.heads*shape.rows+h];
}
out[((c3*shape.units+l)*shape.rows+h)*h2+a2]=result(b0);
}
}
}
`,
};
