/** One linearize() of a file in a fresh process, or none (`idle`), for peak memory. Prints { ms, peakMB }. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { linearizeChunks } from '../src/index.js';

const [mode, source = '', target = ''] = process.argv.slice(2);
const start = performance.now();
if (mode === 'linearize') {
  const { chunks } = await linearizeChunks(readFileSync(source), { plan: 'exact-blocked' });
  const file = openSync(target, 'w');
  for (const chunk of chunks) writeSync(file, chunk);
  closeSync(file);
}
console.log(JSON.stringify({ ms: performance.now() - start, peakMB: process.resourceUsage().maxRSS / 1024 }));
