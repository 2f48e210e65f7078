import { parseHTML } from 'linkedom';
import { expect, test } from 'vitest';
import { original, readPlans } from '../../demo/plans.js';
import { renderPage } from '../../demo/report/page.js';
import type { Row } from '../../demo/row.js';

const [exact = original, features = original] = await readPlans(['exact-blocked', 'features:m=16']);
const map = { data: Float32Array.of(0, 1, 2, 3), width: 2, height: 2 };
const heads = [
  [0.001, 0.02],
  [0.3, 1.4],
];
const figures = (ms: number, peakMB: number, tokens: number) => ({
  ms,
  peakMB,
  tokens,
  runs: 1,
  cpuShare: 1,
  loadMs: 1,
});
const against = { timeRatio: 0.5, memoryRatio: 0.4, tokenCosine: 0.3 };
const rows: Row[] = [
  { px: 224, plan: original, verdict: 'as published', figures: figures(500, 400, 257), map },
  {
    px: 224,
    plan: exact,
    verdict: 'same answer',
    figures: { ...figures(510, 390, 257), ...against, correlation: 1, error: 0 },
    map,
    heads,
  },
  {
    px: 224,
    plan: features,
    verdict: 'another model',
    figures: { ...figures(200, 380, 257), ...against, correlation: 0.1, error: 0.9 },
    map,
    heads,
  },
  { px: 448, plan: original, verdict: 'failed', reason: 'out of memory <script>' },
  { px: 448, plan: exact, verdict: 'no original', figures: figures(2000, 500, 1025), map },
  { px: 448, plan: features, verdict: 'skipped', reason: 'to save time' },
];
const picture = { src: 'data:image/webp;base64,AAAA', width: 320, height: 240 };
const text = renderPage({
  rows,
  maps: new Map(rows.filter((row) => row.map).map((row) => [row, picture])),
  photo: picture,
  machine: {
    cpu: 'a CPU',
    cores: 2,
    memoryGB: 8,
    system: 'linux x64',
    node: 'v20',
    versions: { 'performers.js': '0.1.0' },
    commit: 'abc1234',
  },
  command: 'npm start -- --quick',
  image: '/photos/a "cat" & dog.png',
  model: 'vit',
  sites: 12,
  runtime: 'wasm',
  atOnce: 1,
  seconds: 3,
  date: new Date(0),
});
const { document } = parseHTML(text);
const all = (selector: string) => [...document.querySelectorAll(selector)];

test('every section is there', () => {
  expect(all('section').map(({ id }) => id)).toEqual(['short', 'maps', 'growth', 'heads', 'figures', 'method']);
  expect(document.querySelector('html')?.getAttribute('lang')).toBe('en');
  expect(document.querySelector('#method')?.textContent).toContain('npm start -- --quick');
});

test('the page fetches nothing', () => {
  expect(all('script, link[rel=stylesheet], iframe')).toEqual([]);
  expect(text).not.toMatch(/(?:src|href)="(?!data:)|url\(|@import/);
});

test('images say what they show, tables what they head, plots what they plot', () => {
  for (const image of all('img')) expect(image.getAttribute('alt')).toMatch(/\w/);
  for (const head of all('th')) expect(head.getAttribute('scope')).toMatch(/^(?:row|col|rowgroup)$/);
  for (const table of all('table')) expect(table.querySelector('caption')).not.toBeNull();
  const plots = all('#growth svg');
  expect(plots.map((plot) => plot.getAttribute('aria-label'))).toEqual([
    expect.stringContaining('Time'),
    expect.stringContaining('memory'),
  ]);
});

test('verdicts are words, a failure is a figure of its own', () => {
  const cards = all('#short li');
  expect(cards.map((card) => card.querySelector('.badge')?.textContent?.trim())).toEqual([
    '✓ same answer',
    '✕ another model',
  ]);
  expect(all('.missing').map(({ textContent }) => textContent)).toEqual(['out of memory <script>', 'to save time']);
});

test('what comes from outside is escaped', () => {
  expect(text).toContain('a &quot;cat&quot; &amp; dog.png');
  expect(text).not.toContain('/photos/');
});
