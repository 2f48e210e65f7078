/**
 * The fuzzer from the command line:
 *
 *     npx tsx test/fuzz/run.ts --cases 1000000 --seed 1 --jobs 2     as many cases, in two processes
 *     npx tsx test/fuzz/run.ts --replay 4711                         the one case of a seed, made as small as can be
 *
 * Progress goes to stderr, one line of JSON to stdout at the end: cases, seconds, outcomes, failures with their seeds,
 * peak memory. Exit code 1 when there are failures. Seeds are those of cases: a failure of seed s is replayed by it.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { anyCase, bytesOf, caseOf, survive } from './case.js';
import { fuzz } from './fuzz.js';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    replay: { type: 'string' },
  },
});

if (values.replay === undefined) await runCases();
else await replay(Number(values.replay));

async function runCases(): Promise<void> {
  const [cases, seed, jobs] = [values.cases, values.seed, values.jobs].map(Number);
  const started = performance.now();
  const result = await fuzz({
    seed,
    cases,
    jobs,
    onProgress({ done, failures }) {
      const seconds = (performance.now() - started) / 1000;
      process.stderr.write(`${done} of ${cases}, ${failures} failed, ${Math.round(done / seconds)} a second\n`);
    },
    onFailure: (failure) => process.stderr.write(`seed ${failure.seed}: ${failure.error}\n`),
  });
  console.log(JSON.stringify({ schema: 'performers.fuzz/1', seed, jobs, ...result }));
  process.exitCode = result.failures.length > 0 ? 1 : 0;
}

async function replay(seed: number): Promise<void> {
  const one = caseOf(seed);
  console.log(JSON.stringify(one));
  console.log(`${bytesOf(one).length} bytes`);
  const property = fc.asyncProperty(anyCase, async (smaller) => {
    await survive(bytesOf(smaller), smaller.plan);
  });
  // fast-check makes the same case of the seed, and of a failing one the smallest that it can find.
  const details = await fc.check(property, { seed, numRuns: 1, unbiased: true });
  console.log(details.failed ? fc.defaultReportMessage(details) : 'passes');
  process.exitCode = details.failed ? 1 : 0;
}
