// attend.wgsl: softmax attention over a set of keys, with an online softmax (Milakov and Gimelshein 2018)   (attention/exact.ts)
//   s_ij = scale q_i·k_j + bias_j,  lse_i = log Σ_j exp(s_ij),  out_i = Σ_j exp(s_ij − lse_i) v_j     over the keys that i sees
// in   q [·,R,D]  k [·,S,D]  v [·,S,E]  bias [·,S]  blocks [U,tiles,1+·]    out  out [P,U,R,E]  lse [P,U,R]
//      U units, each of R query rows and S keys: a unit is a (batch, key head), its rows are the tokens of all query heads
//      that share the keys, so that N tokens and G heads a group are R = G·N rows, row r at position r mod N.
//      An array with fewer units than U is shared: unit u reads unit (u / span) mod units of it.
// grid one workgroup a (unit, ROWS rows, part of the keys), in rows of num_workgroups.x
// what a row does not see: bias ≤ −1e30, outside of its band, not in a listed block, behind S. Values there are never multiplied.
// A row that sees nothing gives out = 0 and lse = −3e38.
// f32 sums whatever the arrays are; bound 1e-5 (f32), test/kernels/attend.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias quad = vec4<f32>; // what q and k are stored as: LANES numbers
alias quadV = vec4<f32>; // what v is stored as
alias sums = vec4<f32>; // the same in f32
alias result = vec4<f32>; // what out is stored as
const LANES = 4u; // 1 where D or E is not a multiple of 4
const D = 64u;
const E = 64u;
const ROWS = 64u; // rows a workgroup
const SPLIT = 1u; // threads a row, each with every SPLIT-th key
const TILE = 16u; // keys in workgroup memory at a time
const BIAS = false;
const BAND = false; // causal, window: a row sees the keys of a band
const LIST = false; // ROWS rows see the blocks of LISTED keys in their list
const LISTED = 16u; // a multiple of TILE
const QUEUE = false; // only tiles that are queued in blocks: from queueAt on their number, then unit · tiles + tile of each
const RESUME = false; // begin with what out and lse hold
// ---- end
struct Shape {
  units: u32,
  rows: u32, // R
  keys: u32, // S
  parts: u32, // P
  perPart: u32, // keys a part
  tokens: u32, // N
  firstKey: u32, // of these keys among all
  qUnits: u32,
  kUnits: u32,
  kSpan: u32,
  vUnits: u32,
  biasUnits: u32,
  biasSpan: u32,
  setRows: u32, // so many rows of a unit share v and bias; [sets,…] before their units
  listStride: u32, // numbers of a tile in blocks
  queueAt: u32,
  block: u32, // a band is that of a block of so many positions
  before: i32, // and so many keys before and after it
  after: i32,
  offset: i32, // key position of query position 0
  causal: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<quad>;
@group(0) @binding(2) var<storage, read> k: array<quad>;
@group(0) @binding(3) var<storage, read> v: array<quadV>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<result>;
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;

const WG = ROWS * SPLIT;
const DL = D / LANES;
const EL = E / LANES;
const HIDDEN = -1e30;
const NOTHING = -3e38;
// Adds up the lanes of a sum: all four, or the one that vec4f(f32) repeats.
const FOLD = vec4f(1.0, f32(LANES / 4u), f32(LANES / 4u), f32(LANES / 4u));
// Two threads a row at least exchange what they have.
const EXCHANGE = select(1u, WG, SPLIT > 1u);

var<workgroup> tileKeys: array<sums, TILE * DL>;
var<workgroup> tileValues: array<sums, TILE * EL>;
var<workgroup> tileBias: array<f32, TILE>;
var<workgroup> exchange: array<sums, EXCHANGE>;
var<workgroup> exchangeMost: array<f32, EXCHANGE>;
var<workgroup> exchangeTotal: array<f32, EXCHANGE>;

// The keys [x, y) that the query at a position sees.
fn band(position: u32) -> vec2<i32> {
  let at = i32(position) + shape.offset;
  let size = i32(shape.block);
  // Rounds down below 0 too.
  let start = at - ((at % size) + size) % size;
  var end = start + size + shape.after;
  if (shape.causal == 1u) { end = min(end, at + 1); }
  return vec2<i32>(start - shape.before, end) - vec2<i32>(i32(shape.firstKey));
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let tiles = (shape.rows + ROWS - 1u) / ROWS;
  var item = group.x + group.y * groups.x;
  if (item >= shape.units * tiles * shape.parts) { return; }
  if (QUEUE) {
    if (item >= blocks[shape.queueAt]) { return; }
    item = blocks[shape.queueAt + 1u + item];
  }
  let part = item % shape.parts;
  let tile = item / shape.parts % tiles;
  let unit = item / (shape.parts * tiles);
  let row = tile * ROWS + thread / SPLIT;
  let inside = row < shape.rows;
  let lane = thread % SPLIT;
  let place = (part * shape.units + unit) * shape.rows + row;

  var x: array<sums, DL>;
  var acc: array<sums, EL>;
  var most = NOTHING;
  var total = 0.0;
  if (inside) {
    let at = (unit % shape.qUnits * shape.rows + row) * DL;
    for (var d = 0u; d < DL; d++) { x[d] = shape.scale * sums(q[at + d]); }
    if (RESUME && lane == 0u) {
      let before = lse[place];
      if (before > HIDDEN) {
        most = before;
        total = 1.0;
        for (var e = 0u; e < EL; e++) { acc[e] = sums(out[place * EL + e]); }
      }
    }
  }

  var begin = i32(part * shape.perPart);
  var end = min(begin + i32(shape.perPart), i32(shape.keys));
  var mine = vec2<i32>(begin, end);
  if (BAND) {
    // Of all rows of the tile; a tile that holds the end of one head and the beginning of the next sees what either sees.
    let first = tile * ROWS;
    let last = min(tile * ROWS + ROWS, shape.rows) - 1u;
    let across = first / shape.tokens != last / shape.tokens;
    let low = band(select(first % shape.tokens, 0u, across));
    let high = band(select(last % shape.tokens, shape.tokens - 1u, across));
    begin = max(begin, low.x);
    end = min(end, high.y);
    mine = band(row % shape.tokens);
  }
  let list = (unit * tiles + tile) * shape.listStride;
  var steps = max(0, end - begin + i32(TILE) - 1) / i32(TILE);
  if (LIST) { steps = i32(blocks[list] * (LISTED / TILE)); }

  let chunk = tile * ROWS / shape.setRows;
  let kAt = unit / shape.kSpan % shape.kUnits * shape.keys * DL;
  let vAt = (chunk * shape.vUnits + unit / shape.kSpan % shape.vUnits) * shape.keys * EL;
  let biasAt = (chunk * shape.biasUnits + unit / shape.biasSpan % shape.biasUnits) * shape.keys;
  for (var step = 0; step < steps; step++) {
    var start = begin + step * i32(TILE);
    if (LIST) {
      let sub = u32(step) % (LISTED / TILE);
      start = i32(blocks[list + 1u + u32(step) / (LISTED / TILE)] * LISTED + sub * TILE);
    }
    let count = u32(clamp(end - start, 0, i32(TILE)));
    workgroupBarrier();
    for (var i = thread; i < count * DL; i += WG) { tileKeys[i] = sums(k[kAt + u32(start) * DL + i]); }
    for (var i = thread; i < count * EL; i += WG) { tileValues[i] = sums(v[vAt + u32(start) * EL + i]); }
    if (BIAS) {
      for (var i = thread; i < count; i += WG) { tileBias[i] = bias[biasAt + u32(start) + i]; }
    }
    workgroupBarrier();
    for (var t = lane; t < count; t += SPLIT) {
      if (BAND) {
        let j = start + i32(t);
        if (j < mine.x || j >= mine.y) { continue; }
      }
      var score = 0.0;
      if (BIAS) {
        score = tileBias[t];
        if (score <= HIDDEN) { continue; }
      }
      var products = sums(0.0);
      for (var d = 0u; d < DL; d++) { products += x[d] * tileKeys[t * DL + d]; }
      score += dot(vec4f(products), FOLD);
      // Rare after the first few keys, hence no rescaling of every step.
      if (score > most) {
        let shrink = exp(most - score);
        total *= shrink;
        for (var e = 0u; e < EL; e++) { acc[e] *= shrink; }
        most = score;
      }
      let weight = exp(score - most);
      total += weight;
      for (var e = 0u; e < EL; e++) { acc[e] += weight * tileValues[t * EL + e]; }
    }
  }

  if (SPLIT > 1u) {
    exchangeMost[thread] = most;
    exchangeTotal[thread] = total;
    workgroupBarrier();
    let own = thread - lane;
    var highest = NOTHING;
    for (var s = 0u; s < SPLIT; s++) { highest = max(highest, exchangeMost[own + s]); }
    let share = exp(most - highest);
    total = 0.0;
    for (var s = 0u; s < SPLIT; s++) { total += exchangeTotal[own + s] * exp(exchangeMost[own + s] - highest); }
    most = highest;
    for (var e = 0u; e < EL; e++) {
      exchange[thread] = share * acc[e];
      workgroupBarrier();
      if (lane == 0u) {
        var gathered = sums(0.0);
        for (var s = 0u; s < SPLIT; s++) { gathered += exchange[own + s]; }
        acc[e] = gathered;
      }
      workgroupBarrier();
    }
  }
  if (!inside || lane != 0u) { return; }
  let found = total > 0.0;
  let inverse = select(0.0, 1.0 / total, found);
  for (var e = 0u; e < EL; e++) { out[place * EL + e] = result(inverse * acc[e]); }
  lse[place] = select(NOTHING, most + log(total), found);
}
