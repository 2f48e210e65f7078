/**
 * `npm test`: every check of the repository in order, going on after a failure. Each step counts as one, each vitest test
 * as one more; the last line is `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const scratch = mkdtempSync(join(tmpdir(), 'performers-test-'));
const count = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
/** Failed tests with the beginnings of their messages: said again at the end, as logs are often cut to their tails. */
const failedTests: string[] = [];

step('typecheck', 'tsc', '--noEmit');
step('lint', 'biome', 'check', '--error-on-warnings', '.');
step('cycles', 'dpdm', '--no-tree', '--no-warning', '--no-progress', '--exit-code', 'circular:1', 'src/**/*.ts');
step('imports', 'tsx', 'scripts/imports.ts');
step('build', 'tsup');
step('size', 'tsx', 'scripts/size.ts');
step('pack', 'npm', 'pack', '--pack-destination', scratch);
const tarball = join(scratch, readdirSync(scratch).find((file) => file.endsWith('.tgz')) ?? 'missing.tgz');
step('publint', 'publint', '--strict', tarball);
// Only ES modules are published, so what CommonJS and the resolution of Node 10 make of them is no fault.
step('types of the package', 'attw', '--profile', 'esm-only', tarball);
// First, as kernels are tested in Node on the software adapter that Chromium brings.
step('chromium', 'tsx', 'scripts/chromium.ts');
// The command line as it ships, which also starts in a third of the time.
vitest('node', { REQUIRE_WEBGPU: process.env.REQUIRE_WEBGPU ?? '1', PERFORMERS_CLI: join('dist', 'cli', 'main.js') });
vitest('browser');
vitest('packed', { PERFORMERS_TARBALL: tarball });

rmSync(scratch, { recursive: true, force: true });
if (failures.length > 0) console.log(`\nfailed: ${failures.join(', ')}`);
for (const text of failedTests) console.log(`\n${text}`);
if (count.skipped > 0) {
  console.log(
    `\nskipped: ${count.skipped} tests, which need real models that this repository does not ship (test/shared.ts) or an adapter with float16 (test/kernels/half.test.ts)`,
  );
}
console.log(`\n${count.passed} passed, ${count.failed} failed`);
process.exitCode = count.failed > 0 ? 1 : 0;

function step(name: string, command: string, ...args: string[]): void {
  settle(name, run(name, command, args));
}

function vitest(project: string, env: Record<string, string> = {}): void {
  const results = join(scratch, `${project}.json`);
  const args = ['run', '--project', project, '--reporter=default', '--reporter=json', `--outputFile.json=${results}`];
  let passed = run(`vitest ${project}`, 'vitest', args, env);
  if (existsSync(results)) {
    const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(readFileSync(results, 'utf8'));
    count.passed += numPassedTests;
    count.failed += numFailedTests;
    count.skipped += numPendingTests;
    failedTests.push(...testResults.flatMap(describeFailures));
    if (numPassedTests + numFailedTests === 0) {
      console.error(`no test of the project "${project}" ran`);
      passed = false;
    }
  } else passed = false;
  settle(`vitest ${project}`, passed);
}

/** A file of vitest's JSON report; `message` is of a file that failed as a whole. */
interface FileResult {
  readonly name: string;
  readonly message: string;
  readonly assertionResults: readonly {
    readonly status: string;
    readonly fullName: string;
    readonly failureMessages: readonly string[];
  }[];
}

function describeFailures({ name, message, assertionResults }: FileResult): string[] {
  const file = relative('.', name);
  const failed = assertionResults.filter(({ status }) => status === 'failed');
  const texts = failed.map(({ fullName, failureMessages }) => `${file} > ${fullName}\n${failureMessages.join('\n')}`);
  const all = message === '' ? texts : [`${file}\n${message}`, ...texts];
  return all.map((text) => text.split('\n').slice(0, 12).join('\n'));
}

function run(name: string, command: string, args: string[], env: Record<string, string> = {}): boolean {
  console.log(`\n== ${name}`);
  const start = performance.now();
  const { status } = spawnSync(command, args, {
    stdio: 'inherit',
    // Steps find the tools of this repository, whoever starts the script.
    env: { ...process.env, ...env, PATH: `${join('node_modules', '.bin')}:${process.env.PATH}` },
  });
  console.log(`== ${name}: ${status === 0 ? 'ok' : 'FAILED'}, ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return status === 0;
}

function settle(name: string, passed: boolean): void {
  count[passed ? 'passed' : 'failed']++;
  if (!passed) failures.push(name);
}
