// compact.wgsl: marks of blocks as lists, and a queue of the lists that hold something   (estimate.wgsl; attend.wgsl, LIST and QUEUE)
// in   marks [T,⌈B/32⌉]    out  blocks: T lists of (count, blocks in rising order) at a stride of 1 + B, then a queue (count, tiles);
//      groups [3] for an indirect dispatch of one workgroup a queued tile; out and lse of the rows of empty lists: 0 and −3e38
//      T tiles of ROWS queries, ⌈N/ROWS⌉ a unit. `blocks` and `groups` begin as zeros, so does `out`.
// grid one thread a tile, WG threads a workgroup, in rows of num_workgroups.x
// Order in the queue differs from run to run; what is computed does not. test/kernels/low-bit.test.ts. Its speed on a GPU is unmeasured.
// ---- parameters
const ROWS = 64u;
const WG = 64u;
// ---- end
struct Shape {
  tiles: u32, // T
  rowBlocks: u32, // tiles a unit
  tokens: u32, // N
  keyBlocks: u32, // B
  most: u32, // workgroups a side of a grid
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> marks: array<u32>;
@group(0) @binding(2) var<storage, read_write> blocks: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> groupCounts: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

const NOTHING = -3e38;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let tile = (group.x + group.y * groups.x) * WG + thread;
  if (tile >= shape.tiles) { return; }
  let perTile = (shape.keyBlocks + 31u) / 32u;
  let list = tile * (1u + shape.keyBlocks);
  var count = 0u;
  for (var w = 0u; w < perTile; w++) {
    // Lowest bit first, and off it goes.
    for (var word = marks[tile * perTile + w]; word != 0u; word &= word - 1u) {
      count++;
      atomicStore(&blocks[list + count], 32u * w + countTrailingZeros(word));
    }
  }
  atomicStore(&blocks[list], count);
  if (count == 0u) {
    let unit = tile / shape.rowBlocks;
    let begin = tile % shape.rowBlocks * ROWS;
    for (var row = begin; row < min(begin + ROWS, shape.tokens); row++) { lse[unit * shape.tokens + row] = NOTHING; }
    return;
  }
  let queue = shape.tiles * (1u + shape.keyBlocks);
  let slot = atomicAdd(&blocks[queue], 1u);
  atomicStore(&blocks[queue + 1u + slot], tile);
  // Whoever comes last leaves a grid that holds all.
  atomicMax(&groupCounts[0], min(slot + 1u, shape.most));
  atomicMax(&groupCounts[1], slot / shape.most + 1u);
  atomicMax(&groupCounts[2], 1u);
}
