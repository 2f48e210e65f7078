/** One `linearize` of a file in a fresh process, a copy of it, or neither (`idle`). Prints { ms, peakMB }. */
import { rmSync } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { linearizeFiles } from '../src/node/linearize-files.js';
import { peakMemory } from '../src/node/peak-memory.js';

const [mode, source = '', folder = ''] = process.argv.slice(2);
const start = performance.now();
const target = join(folder, `${mode}.onnx`);
if (mode === 'linearize') await linearizeFiles(source, target, { plan: 'exact-blocked', force: true });
if (mode === 'copy') {
  // On the disk, not on its way to it: as linearize leaves it.
  await copyFile(source, target);
  const file = await open(target, 'r+');
  await file.sync();
  await file.close();
}
const ms = performance.now() - start;
if (mode !== 'idle') rmSync(target);
console.log(JSON.stringify({ ms, peakMB: peakMemory() / 2 ** 20 }));
