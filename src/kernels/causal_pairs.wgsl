// causal_pairs.wgsl: what queries have of the keys in their own chunk up to themselves, added to what they have of all before   (causal.ts)
//   w_ij = log Σ_r exp(scale ω_r·q_i + scale ω_r·k_j + bias_j + 2b_r),  j ≤ i in the chunk of i: the features' own estimate of exp(q·k)
//   lse′ = log(exp(lse_i) + Σ_j exp(w_ij)),  out′ = exp(lse_i − lse′) out_i + Σ_j exp(w_ij − lse′) v_j
// in   q [B,H,N,D]  k [B,G,N,D]  v [B,G,N,E]  omega [G,M,D]  bias [B,G,N]  featureBias [G,M]    in and out  out [B,H,N,E]  lse [B,H,N]
// grid one workgroup a (query head, CHUNK tokens), in rows of num_workgroups.x. Sums over features are taken FEATURES at a time, so
//      that no [N,M] is in memory
// Each pair has a maximum of its own: no later token can make an earlier one underflow.
// bound 1e-5, test/kernels/causal.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
alias quad = vec4<f32>; // what q, k, v and omega are stored as: LANES numbers
alias sums = vec4<f32>; // the same in f32
alias result = vec4<f32>; // what out is stored as
const LANES = 4u; // 1 where D or E is not a multiple of 4
const D = 64u;
const E = 64u;
const M = 64u;
const CHUNK = 32u;
const FEATURES = 16u; // at a time
const WG = 64u; // a multiple of CHUNK
const WEIGHTED = false; // features have a bias
// ---- end
struct Shape {
  units: u32, // B·H
  span: u32, // H / G
  keyHeads: u32, // G
  tokens: u32, // N
  scale: f32, // √ of that of q·k
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<quad>;
@group(0) @binding(2) var<storage, read> k: array<quad>;
@group(0) @binding(3) var<storage, read> v: array<quad>;
@group(0) @binding(4) var<storage, read> omega: array<quad>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read> featureBias: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<result>;
@group(0) @binding(8) var<storage, read_write> lse: array<f32>;

const DL = D / LANES;
const EL = E / LANES;
const HIDDEN = -1e30;
const NOTHING = -3e38;
const FOLD = vec4f(1.0, f32(LANES / 4u), f32(LANES / 4u), f32(LANES / 4u));
const PAIRS = CHUNK * CHUNK / WG; // a thread
const THREADS = WG / CHUNK; // a row

var<workgroup> queryLogits: array<f32, CHUNK * FEATURES>;
var<workgroup> keyLogits: array<f32, CHUNK * FEATURES>;
var<workgroup> weights: array<f32, CHUNK * CHUNK>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let chunks = (shape.tokens + CHUNK - 1u) / CHUNK;
  let item = group.x + group.y * groups.x;
  if (item >= shape.units * chunks) { return; }
  let unit = item / chunks;
  let start = item % chunks * CHUNK;
  let keyUnit = unit / shape.span;
  let head = keyUnit % shape.keyHeads;
  let count = min(CHUNK, shape.tokens - start);

  var most: array<f32, PAIRS>;
  var total: array<f32, PAIRS>;
  for (var p = 0u; p < PAIRS; p++) { most[p] = NOTHING; }
  for (var first = 0u; first < M; first += FEATURES) {
    workgroupBarrier();
    for (var at = thread; at < CHUNK * FEATURES; at += WG) {
      let t = at / FEATURES;
      let r = first + at % FEATURES;
      queryLogits[at] = NOTHING;
      keyLogits[at] = NOTHING;
      if (r < M && t < count) {
        let given = bias[keyUnit * shape.tokens + start + t];
        var onQuery = sums(0.0);
        var onKey = sums(0.0);
        for (var d = 0u; d < DL; d++) {
          let w = sums(omega[(head * M + r) * DL + d]);
          onQuery += w * sums(q[(unit * shape.tokens + start + t) * DL + d]);
          onKey += w * sums(k[(keyUnit * shape.tokens + start + t) * DL + d]);
        }
        queryLogits[at] = shape.scale * dot(vec4f(onQuery), FOLD);
        if (given > HIDDEN) {
          keyLogits[at] = shape.scale * dot(vec4f(onKey), FOLD) + given;
          if (WEIGHTED) { keyLogits[at] += 2.0 * featureBias[head * M + r]; }
        }
      }
    }
    workgroupBarrier();
    let features = min(FEATURES, M - first);
    for (var p = 0u; p < PAIRS; p++) {
      let i = (p * WG + thread) / CHUNK;
      let j = (p * WG + thread) % CHUNK;
      if (i >= count || j > i || keyLogits[j * FEATURES] <= HIDDEN) { continue; }
      var high = most[p];
      for (var r = 0u; r < features; r++) {
        high = max(high, queryLogits[i * FEATURES + r] + keyLogits[j * FEATURES + r]);
      }
      var sum = total[p] * exp(most[p] - high);
      for (var r = 0u; r < features; r++) {
        sum += exp(queryLogits[i * FEATURES + r] + keyLogits[j * FEATURES + r] - high);
      }
      most[p] = high;
      total[p] = sum;
    }
  }
  for (var p = 0u; p < PAIRS; p++) {
    weights[p * WG + thread] = select(NOTHING, most[p] + log(total[p]), total[p] > 0.0);
  }
  let t = thread / THREADS;
  let row = unit * shape.tokens + start + t;
  // Read by all threads of the row before one of them writes it.
  var before = NOTHING;
  if (t < count) { before = lse[row]; }
  workgroupBarrier();

  if (t >= count) { return; }
  var high = before;
  for (var j = 0u; j <= t; j++) { high = max(high, weights[t * CHUNK + j]); }
  let found = high > HIDDEN;
  let kept = select(0.0, exp(before - high), before > HIDDEN);
  var mass = kept;
  for (var j = 0u; found && j <= t; j++) { mass += exp(weights[t * CHUNK + j] - high); }
  let inverse = select(0.0, 1.0 / mass, found);
  for (var e = thread % THREADS; e < EL; e += THREADS) {
    var acc = kept * sums(out[row * EL + e]);
    for (var j = 0u; found && j <= t; j++) {
      let weight = exp(weights[t * CHUNK + j] - high);
      if (weight > 0.0) { acc += weight * sums(v[(keyUnit * shape.tokens + start + j) * EL + e]); }
    }
    out[row * EL + e] = result(inverse * acc);
  }
  if (thread % THREADS == 0u) { lse[row] = select(NOTHING, high + log(mass), found); }
}
