/** npm start itself, at its smallest. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const scratch = mkdtempSync(join(tmpdir(), 'performers-demo-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function start(args: readonly string[], onOutput?: (text: string, stop: () => void) => void) {
  return new Promise<{ code: number | null; output: string }>((resolve) => {
    const child = spawn(process.execPath, ['--import', 'tsx', 'demo/start.ts', ...args]);
    let output = '';
    const read = (chunk: Buffer) => {
      output += chunk;
      onOutput?.(output, () => child.kill('SIGINT'));
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('close', (code) => resolve({ code, output }));
  });
}

test('one size and two plans: a table, a page and its figures', async () => {
  const out = join(scratch, 'out');
  const { code, output } = await start(['--sizes', '224', '--plans', 'exact-blocked', 'features:m=16', '--out', out]);
  expect(code, output).toBe(0);
  expect(output).toMatch(/224 +257 +original .*as published/);
  expect(output).toMatch(/exact-blocked .*same answer/);
  expect(output).toMatch(/FAVOR\+ m=16 .*another model/);
  expect(output).not.toContain('\u001b');
  expect(readdirSync(out).sort()).toEqual(['report.html', 'report.json']);
  const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'));
  expect(report.rows).toHaveLength(3);
  expect(report.rows[1]).toMatchObject({ plan: 'exact-blocked', tokens: 257, verdict: 'same answer' });
  expect(report.rows[1].error).toBeLessThan(1e-5);
  expect(report.rows[1].heads).toHaveLength(12);
  expect(Math.max(...report.rows[1].heads.flat())).toBeLessThan(1e-5);
  expect(Math.max(...report.rows[2].heads.flat())).toBeGreaterThan(0.1);
  const page = readFileSync(join(out, 'report.html'), 'utf8');
  expect(page).toContain('</html>');
  expect(page).not.toContain(scratch);
}, 120_000);

test('interrupted, it leaves no report', async () => {
  const out = join(scratch, 'interrupted');
  const { code, output } = await start(['--sizes', '224', '--out', out], (text, stop) => {
    if (text.includes('verdict')) stop();
  });
  expect(output).toContain('interrupted: no report was written');
  expect(code).toBe(130);
  expect(existsSync(out)).toBe(false);
});

test.each([
  [['--sizes', '450'], 'the model cuts images into patches of 14 px, and 450 is no multiple: try 448'],
  [['--sizes', 'big'], 'Sizes are whole numbers of pixels, 14 to 4096.'],
  [['--plans', 'windov'], "unknown plan 'windov'; did you mean 'window'?"],
  [['--plans', 'window@40'], 'no layer 40: the model has 12'],
  [['--image', 'nowhere.png'], "no image 'nowhere.png'"],
  [['--model', 'nothing'], "no model 'nothing'"],
  [['--runtime', 'gpu'], 'Allowed choices are wasm, node.'],
] as const)('%j is refused', async (args, message) => {
  const { code, output } = await start([...args, '--out', join(scratch, 'refused')]);
  expect(output).toContain(message);
  expect(code).toBe(2);
});
