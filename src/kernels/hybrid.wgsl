// hybrid.wgsl: a window, chosen keys and summaries of all the rest under one softmax   (rewrite/lower/hybrid.ts, hybrid-2d.ts)
//   logits of a row = [ scale q·k_j + bias_j     for the keys around its block or tile, and for the chosen ones
//                     | scale q·k̄_c + log n_c    for every code c, over the keys that are neither: all sums less those of the window ]
// in   q [U,N,D]  k [U,S,D]  v [U,S,E]  rest [U,S]  chosen [U,count,2]  code [U,S]  totals [U,C,D+E+4]    out  out [U,N,E]
//      rest is the bias of every key with the chosen hidden (top_keys.wgsl), totals are sums by code over it (code_sums.wgsl: k, v, 1 and three zeros)
// grid one workgroup a (unit, block of ROWS queries), in rows of num_workgroups.x. Window keys, chosen keys and pseudo-keys
//      go through the same tile; pseudo-keys are made in it, so that no key set is ever in memory
//      With a SIDE the tokens behind the first `front` are patches of an image, row by row, and blocks are square tiles of them; those
//      in front attend every key, in workgroups behind those of the tiles.
// A code with less than half a key left is none; a row that sees nothing gives zeros.
// bound 1e-5, test/kernels/hybrid.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias quad = vec4<f32>; // what q, k and v are stored as: LANES numbers
alias sums = vec4<f32>; // the same in f32
alias result = vec4<f32>; // what out is stored as
const LANES = 4u; // 1 where D or E is not a multiple of 4
const D = 64u;
const E = 64u;
const CODES = 32u; // 0 for none
const ROWS = 32u; // queries a block
const SIDE = 0u; // of a tile, ROWS = SIDE²; 0 for blocks of a sequence
const SPLIT = 2u; // threads a row, each with every SPLIT-th key
const TILE = 16u; // keys in workgroup memory at a time
// ---- end
struct Shape {
  units: u32,
  tokens: u32, // N
  keys: u32, // S
  halo: u32, // keys before a block, and after it, that its queries see; in an image on all sides
  front: u32, // tokens before the patches
  down: u32, // rows of patches
  across: u32, // columns of them
  count: u32, // of chosen keys
  scale: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<quad>;
@group(0) @binding(2) var<storage, read> k: array<quad>;
@group(0) @binding(3) var<storage, read> v: array<quad>;
@group(0) @binding(4) var<storage, read> rest: array<f32>;
@group(0) @binding(5) var<storage, read> chosen: array<u32>;
@group(0) @binding(6) var<storage, read> code: array<u32>;
@group(0) @binding(7) var<storage, read> totals: array<sums>;
@group(0) @binding(8) var<storage, read_write> out: array<result>;

const WG = ROWS * SPLIT;
const DL = D / LANES;
const EL = E / LANES;
const FL = DL + EL + 4u / LANES;
const HIDDEN = -1e30;
const NOTHING = -3e38;
// Adds up the lanes of a sum: all four, or the one that vec4f(f32) repeats.
const FOLD = vec4f(1.0, f32(LANES / 4u), f32(LANES / 4u), f32(LANES / 4u));

var<workgroup> tileKeys: array<sums, TILE * DL>;
var<workgroup> tileValues: array<sums, TILE * EL>;
var<workgroup> tileBias: array<f32, TILE>;
var<workgroup> tileTokens: array<u32, TILE>;
var<workgroup> exchange: array<sums, WG>;
var<workgroup> exchangeMost: array<f32, WG>;
var<workgroup> exchangeTotal: array<f32, WG>;

var<private> x: array<sums, DL>;
var<private> acc: array<sums, EL>;
var<private> most: f32 = NOTHING;
var<private> total: f32 = 0.0;

// The keys in the tile, every SPLIT-th a thread, into the running softmax of its row.
fn absorb(count: u32, lane: u32) {
  for (var t = lane; t < count; t += SPLIT) {
    var score = tileBias[t];
    if (score <= HIDDEN) { continue; }
    var products = sums(0.0);
    for (var d = 0u; d < DL; d++) { products += x[d] * tileKeys[t * DL + d]; }
    score += dot(vec4f(products), FOLD);
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

// The token at a place of the image, or none.
fn patchAt(place: vec2i) -> u32 {
  let within = all(place >= vec2i(0)) && all(place < vec2i(vec2u(shape.across, shape.down)));
  return select(shape.keys, shape.front + u32(place.y) * shape.across + u32(place.x), within);
}

// The i-th token of a square whose first place is `corner`, or of all from corner.x on.
fn tokenAt(corner: vec2i, side: u32, i: u32) -> u32 {
  if (side == 0u) { return u32(corner.x) + i; }
  return patchAt(corner + vec2i(vec2u(i % side, i / side)));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let acrossTiles = (shape.across + max(SIDE, 1u) - 1u) / max(SIDE, 1u);
  let inTiles = acrossTiles * ((shape.down + max(SIDE, 1u) - 1u) / max(SIDE, 1u));
  // Blocks of a sequence, or of what is in front of an image.
  let inRow = select(shape.front, shape.tokens, SIDE == 0u);
  let tiles = inTiles + (inRow + ROWS - 1u) / ROWS;
  let item = group.x + group.y * groups.x;
  if (item >= shape.units * tiles) { return; }
  let unit = item / tiles;
  let tile = item % tiles;
  let inImage = tile < inTiles;
  let side = select(0u, SIDE, inImage);
  let first = (tile - inTiles) * ROWS;
  let reach = i32(shape.halo);
  var corner = vec2i(i32(first), 0);
  var around = vec2i(i32(first - min(first, shape.halo)), 0);
  var nearby = min(first + ROWS + shape.halo, shape.keys) - u32(around.x);
  var span = 0u;
  if (inImage) {
    corner = vec2i(vec2u(tile % acrossTiles, tile / acrossTiles) * SIDE);
    around = corner - reach;
    span = SIDE + 2u * shape.halo;
    nearby = span * span;
  } else if (SIDE > 0u) {
    around = vec2i(0);
    nearby = shape.keys;
  }
  // All keys of those in front are near: nothing is left to sum up.
  let codes = select(0u, CODES, inImage || SIDE == 0u);
  let row = tokenAt(corner, side, thread / SPLIT);
  let lane = thread % SPLIT;
  let inside = row < select(inRow, shape.tokens, inImage);
  if (inside) {
    let at = (unit * shape.tokens + row) * DL;
    for (var d = 0u; d < DL; d++) { x[d] = shape.scale * sums(q[at + d]); }
  }
  let kAt = unit * shape.keys * DL;
  let vAt = unit * shape.keys * EL;
  let restAt = unit * shape.keys;

  // Keys nearby, then the chosen ones.
  let all = nearby + shape.count;
  for (var start = 0u; start < all; start += TILE) {
    let count = min(TILE, all - start);
    workgroupBarrier();
    for (var i = thread; i < count; i += WG) {
      var j = tokenAt(around, span, start + i);
      var given = rest[restAt + min(j, shape.keys - 1u)];
      if (start + i >= nearby) {
        let list = (unit * shape.count + start + i - nearby) * 2u;
        j = chosen[list];
        given = bitcast<f32>(chosen[list + 1u]);
      }
      tileTokens[i] = min(j, shape.keys - 1u);
      tileBias[i] = select(NOTHING, given, j < shape.keys);
    }
    workgroupBarrier();
    for (var i = thread; i < count * DL; i += WG) { tileKeys[i] = sums(k[kAt + tileTokens[i / DL] * DL + i % DL]); }
    for (var i = thread; i < count * EL; i += WG) { tileValues[i] = sums(v[vAt + tileTokens[i / EL] * EL + i % EL]); }
    workgroupBarrier();
    absorb(count, lane);
  }

  for (var start = 0u; start < codes; start += TILE) {
    let count = min(TILE, codes - start);
    let totalAt = (unit * CODES + start) * FL;
    workgroupBarrier();
    // A thread owns a column of the tile until all sums are in it: lanes of keys, then of values, then the counts.
    for (var column = thread; column <= DL + EL; column += WG) {
      for (var c = 0u; c < count; c++) {
        let sum = totals[totalAt + c * FL + column];
        if (column < DL) {
          tileKeys[c * DL + column] = sum;
        } else if (column < DL + EL) {
          tileValues[c * EL + column - DL] = sum;
        } else {
          tileBias[c] = vec4f(sum).x;
        }
      }
      for (var i = 0u; i < nearby; i++) {
        let j = tokenAt(around, span, i);
        if (j >= shape.keys) { continue; }
        let c = code[unit * shape.keys + j] - start;
        let given = rest[restAt + j];
        // Codes before the first wrap to large numbers.
        if (c >= count || given <= HIDDEN) { continue; }
        let weight = exp(given);
        if (column < DL) {
          tileKeys[c * DL + column] -= weight * sums(k[kAt + j * DL + column]);
        } else if (column < DL + EL) {
          tileValues[c * EL + column - DL] -= weight * sums(v[vAt + j * EL + column - DL]);
        } else {
          tileBias[c] -= weight;
        }
      }
    }
    workgroupBarrier();
    for (var i = thread; i < count * (DL + EL); i += WG) {
      let c = i / (DL + EL);
      let column = i % (DL + EL);
      let inverse = 1.0 / max(tileBias[c], 0.5);
      if (column < DL) {
        tileKeys[c * DL + column] *= inverse;
      } else {
        tileValues[c * EL + column - DL] *= inverse;
      }
    }
    workgroupBarrier();
    for (var c = thread; c < count; c += WG) {
      let left = tileBias[c];
      tileBias[c] = select(log(max(left, 0.5)), NOTHING, left < 0.5);
    }
    workgroupBarrier();
    absorb(count, lane);
  }

  exchangeMost[thread] = most;
  exchangeTotal[thread] = total;
  workgroupBarrier();
  let own = thread - lane;
  var highest = NOTHING;
  for (var s = 0u; s < SPLIT; s++) { highest = max(highest, exchangeMost[own + s]); }
  var whole = 0.0;
  for (var s = 0u; s < SPLIT; s++) { whole += exchangeTotal[own + s] * exp(exchangeMost[own + s] - highest); }
  let share = select(0.0, exp(most - highest) / whole, whole > 0.0);
  for (var e = 0u; e < EL; e++) {
    exchange[thread] = share * acc[e];
    workgroupBarrier();
    if (inside && lane == 0u) {
      var gathered = sums(0.0);
      for (var s = 0u; s < SPLIT; s++) { gathered += exchange[own + s]; }
      out[(unit * shape.tokens + row) * EL + e] = result(gathered);
    }
    workgroupBarrier();
  }
}
