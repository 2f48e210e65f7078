/** docs/coverage.md is what scripts/coverage.ts makes of the graphs; the error figures are another machine's. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { coverage, formatRows } from '../scripts/coverage.js';

const withoutErrors = (page: string) =>
  page
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split(' | ')
        .filter((_, cell) => cell !== 5)
        .join(' | '),
    );

it('the table in docs is up to date: npx tsx scripts/coverage.ts', async () => {
  const page = readFileSync(new URL('../docs/coverage.md', import.meta.url), 'utf8');
  expect(withoutErrors(page)).toEqual(withoutErrors(formatRows(await coverage({ measured: false }))));
});

it('every figure in it keeps the bound', () => {
  const page = readFileSync(new URL('../docs/coverage.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => /^\| .* \| \d/.test(line));
  expect(rows.length).toBeGreaterThanOrEqual(50);
  for (const row of rows) {
    const [, , , type, , error] = row.slice(2).split(' | ');
    expect(Number(error), row).toBeLessThanOrEqual(/16/.test(type) ? 2e-3 : 1e-5);
  }
});
