// top_keys.wgsl: the keys every query attends exactly: the first `sinks`, and those with the highest static score; or those of a list
//   chosen = the `count` visible keys highest in (j < sinks, k_j·q₀ + bias_j), the earlier of equals; rest = bias with the chosen hidden
//   (rewrite/lower/scored-globals.ts, window.ts)
// in   k [U,S,D]  query [H,D], with LISTED the list [count] in its place  bias [B,S]    scratch  order [U,S]    out  chosen [U,count,2]  rest [U,S]
//      U = B·H units. A chosen key is its index and the bits of its bias; where there are too few, the index is S.
// grid one workgroup a unit: radix selection, 8 bits at a time; exact, and the same in every run
// bound: the choice is exact but for rounding of the scores; test/kernels/hybrid.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias elem = f32; // what k is stored as
const D = 64u;
const WG = 256u;
const BIAS = false;
const SCORED = false; // else the static score is 0
const LISTED = false; // no others than those of the list
// ---- end
struct Shape {
  units: u32,
  keys: u32, // S
  heads: u32, // H
  count: u32,
  sinks: u32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> k: array<elem>;
@group(0) @binding(2) var<storage, read> query: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> order: array<u32>;
@group(0) @binding(5) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(6) var<storage, read_write> rest: array<f32>;

const HIDDEN = -1e30;
const NOTHING = -3e38;

var<workgroup> bins: array<atomic<u32>, 256>;
// Above and at the threshold, of every thread's keys.
var<workgroup> above: array<u32, WG>;
var<workgroup> level: array<u32, WG>;
var<workgroup> prefix: u32;
var<workgroup> wanted: u32;

// A number that rises with x.
fn rising(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return bits ^ select(0x80000000u, 0xffffffffu, bits >> 31u == 1u);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let unit = group.x + group.y * groups.x;
  if (unit >= shape.units) { return; }
  let at = unit * shape.keys;
  let kAt = unit * shape.keys * D;
  let queryAt = unit % shape.heads * D;
  let biasAt = unit / shape.heads * shape.keys;
  // Whole keys a thread, in their order, so that of equals the earlier is chosen. A thread reads back only what it wrote.
  let share = (shape.keys + WG - 1u) / WG;
  let begin = min(thread * share, shape.keys);
  let end = min(begin + share, shape.keys);
  for (var j = begin; j < end; j++) {
    var given = 0.0;
    if (BIAS) { given = bias[biasAt + j]; }
    var score = given;
    for (var d = 0u; SCORED && d < D; d++) { score += f32(k[kAt + j * D + d]) * query[queryAt + d]; }
    var rank = max(1u, rising(score));
    if (j < shape.sinks) { rank = 0xffffffffu - j; }
    if (LISTED) {
      rank = 0u;
      for (var s = 0u; s < shape.count; s++) { rank |= u32(u32(query[s]) == j); }
    }
    order[at + j] = select(rank, 0u, given <= HIDDEN);
  }
  if (thread == 0u) {
    prefix = 0u;
    wanted = shape.count;
  }
  workgroupBarrier();
  for (var shift = 24i; shift >= 0; shift -= 8) {
    for (var b = thread; b < 256u; b += WG) { atomicStore(&bins[b], 0u); }
    workgroupBarrier();
    let high = workgroupUniformLoad(&prefix);
    for (var j = begin; j < end; j++) {
      let rank = order[at + j];
      // In two shifts: one by 32 bits is none at all.
      let upper = rank >> u32(shift);
      if (rank != 0u && (upper >> 8u) == high) { atomicAdd(&bins[upper & 255u], 1u); }
    }
    workgroupBarrier();
    if (thread == 0u) {
      var bin = 255u;
      var left = wanted;
      // Ends in bin 0 where there are fewer keys than wanted: the threshold is then below all of them.
      for (; bin > 0u; bin--) {
        let inside = atomicLoad(&bins[bin]);
        if (inside >= left) { break; }
        left -= inside;
      }
      wanted = left;
      prefix = (prefix << 8u) | bin;
    }
    workgroupBarrier();
  }
  let threshold = workgroupUniformLoad(&prefix);
  let equals = workgroupUniformLoad(&wanted);
  var higher = 0u;
  var same = 0u;
  for (var j = begin; j < end; j++) {
    let rank = order[at + j];
    if (rank == 0u) { continue; }
    higher += u32(rank > threshold);
    same += u32(rank == threshold);
  }
  above[thread] = higher;
  level[thread] = same;
  workgroupBarrier();
  var higherBefore = 0u;
  var sameBefore = 0u;
  var higherAll = 0u;
  var sameAll = 0u;
  for (var t = 0u; t < WG; t++) {
    if (t < thread) {
      higherBefore += above[t];
      sameBefore += level[t];
    }
    higherAll += above[t];
    sameAll += level[t];
  }
  let list = unit * shape.count * 2u;
  for (var j = begin; j < end; j++) {
    let rank = order[at + j];
    var given = 0.0;
    if (BIAS) { given = max(bias[biasAt + j], NOTHING); }
    var slot = shape.count;
    if (rank != 0u && rank > threshold) {
      slot = higherBefore;
      higherBefore++;
    } else if (rank != 0u && rank == threshold) {
      if (sameBefore < equals) { slot = higherAll + sameBefore; }
      sameBefore++;
    }
    let taken = slot < shape.count;
    if (taken) {
      chosen[list + 2u * slot] = j;
      chosen[list + 2u * slot + 1u] = bitcast<u32>(given);
    }
    rest[unit * shape.keys + j] = select(given, NOTHING, taken);
  }
  for (var slot = higherAll + min(sameAll, equals) + thread; slot < shape.count; slot += WG) {
    chosen[list + 2u * slot] = shape.keys;
    chosen[list + 2u * slot + 1u] = 0u;
  }
}
