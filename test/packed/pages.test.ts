/** The pages demo/ and bench/, built as they are deployed and driven in Chromium. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page as Tab } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findChromium } from '../../scripts/chromium.js';
import { buildPage, type PageName } from '../../scripts/pages.js';
import type { BenchResult } from '../../src/bench/result.js';
import { restore } from '../../src/linearize.js';
import { violations } from '../json-schema.js';
import { type Served, serve } from './serve.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'performers-pages-'));
const patience = { timeout: 400_000 };
let browser: Browser;
let served: Served;

beforeAll(async () => {
  for (const name of ['demo', 'bench'] satisfies PageName[]) await buildPage(name, join(out, name));
  // As a plain host of static files sends them: without the headers of isolation.
  served = await serve({ '/models/': join(root, 'models'), '/': out }, { isolated: false });
  const args = ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
  browser = await chromium.launch({ executablePath: findChromium(), args });
});

afterAll(async () => {
  await browser.close();
  served.close();
  rmSync(out, { recursive: true, force: true });
});

async function openTab(page: PageName, { origin } = served): Promise<{ tab: Tab; faults: string[] }> {
  const tab = await browser.newPage();
  const faults: string[] = [];
  tab.on('pageerror', (error) => faults.push(error.message));
  tab.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (protocol.startsWith('http') && hostname !== '127.0.0.1') faults.push(`asked ${hostname}`);
  });
  await tab.goto(`${origin}/${page}/index.html`);
  return { tab, faults };
}

const says = (tab: Tab, pattern: RegExp) =>
  tab.waitForFunction(
    (source) => new RegExp(source).test(document.querySelector('#status')?.textContent ?? ''),
    pattern.source,
    patience,
  );

describe('demo', () => {
  let tab: Tab;
  let faults: string[];

  beforeAll(async () => {
    ({ tab, faults } = await openTab('demo'));
  });

  test('a file that is no model is an error one can read, with its mend', async () => {
    await tab.selectOption('#source', 'file');
    await tab.setInputFiles('#file', { name: 'no-model.onnx', mimeType: '', buffer: Buffer.from('this is text') });
    await tab.click('#load');
    await says(tab, /did not work/);
    expect(await tab.textContent('#error')).toMatch(/PF10\d.*mend/s);
  });

  test('a shipped model opens, and every head is on the map', async () => {
    await tab.selectOption('#source', 'performer-stories');
    await tab.click('#load');
    await says(tab, /^Open/);
    expect(await tab.textContent('#about')).toMatch(/4 attention layers with 16 heads, text-generation/);
    expect(await tab.locator('#map button').count()).toBe(16);
    expect(await tab.isHidden('#error')).toBe(true);
  });

  test('a run that is cancelled ends at once, and another one runs', async () => {
    await tab.click('#run');
    await tab.click('#cancel');
    await says(tab, /^Cancelled/);
    await tab.click('#run');
    await says(tab, /^Done/);
    expect(await tab.textContent('#verdict')).toMatch(/of the time; logits of the prompt: [\d<]/);
    // Linear heads, with what they err by against the softmax form: next to nothing, as the prompt is shorter than the window.
    expect(await tab.locator('#map button[aria-label*="linear"]').count()).toBe(16);
    expect(await tab.getAttribute('#map button', 'aria-label')).toMatch(/features-causal:window=64.*error [\d<]/);
    expect(await tab.textContent('#patched')).toMatch(/^Once upon a time/);
  });

  test('the exact plan gives the answer of the original; the arrow keys walk the map', async () => {
    await tab.selectOption('#choice', 'exact-blocked');
    await says(tab, /^Done/);
    await tab.waitForFunction(() => document.querySelectorAll('#tried tr').length === 2, undefined, patience);
    expect(await tab.textContent('#verdict')).toMatch(/<?0?\.?\d* % off, correlation 1\.0000/);
    expect(await tab.textContent('#patched')).toBe(await tab.textContent('#original'));
    await tab.focus('#map button');
    await tab.keyboard.press('ArrowDown');
    await tab.keyboard.press('ArrowRight');
    expect(await tab.textContent('#head')).toMatch(/^Layer 1, head 1: exact, exact-blocked/);
  });

  test('a slider that is moved runs again, and another plan errs', async () => {
    await tab.selectOption('#choice', 'features');
    await tab.waitForFunction(() => document.querySelectorAll('#tried tr').length === 3, undefined, patience);
    await says(tab, /^Done/);
    await tab.focus('#m');
    await tab.keyboard.press('ArrowLeft');
    await tab.waitForFunction(() => document.querySelectorAll('#tried tr').length === 4, undefined, patience);
    expect(await tab.textContent('#tried tr:first-child th')).toMatch(/m=64/);
    await says(tab, /^Done/);
  });

  test('a phone needs no sideways scrolling; nothing went wrong unseen, and nobody else was asked', async () => {
    await tab.setViewportSize({ width: 390, height: 844 });
    expect(await tab.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    expect(faults).toEqual([]);
    await tab.close();
  });
});

describe('demo, a model from this machine', () => {
  const folder = join(out, 'stories-as-softmax');
  let tab: Tab;
  let faults: string[];
  /** Opens what is chosen by `#source`. */
  const open = async (source: string, files: Parameters<Tab['setInputFiles']>[1]) => {
    await tab.selectOption('#source', source);
    await tab.setInputFiles(`#${source}`, files);
    await tab.click('#load');
  };
  const opened = () => says(tab, /^Open\./);

  beforeAll(async () => {
    ({ tab, faults } = await openTab('demo'));
    const shipped = join(root, 'models/performer-stories');
    cpSync(shipped, folder, { recursive: true, filter: (path) => !path.includes('/train') });
    const report = JSON.parse(readFileSync(join(shipped, 'onnx/model.performers.json'), 'utf8'));
    writeFileSync(join(folder, 'onnx/model.onnx'), restore(readFileSync(join(shipped, 'onnx/model.onnx')), report));
  });

  test('nothing chosen, and a folder without a model, are errors one can read', async () => {
    await tab.selectOption('#source', 'file');
    await tab.click('#load');
    await says(tab, /did not work/);
    expect(await tab.textContent('#error')).toMatch(/Choose a file or folder first/);
    await open('folder', join(root, 'demo/plain'));
    await says(tab, /did not work/);
    await tab.waitForFunction(() => /PF106/.test(document.querySelector('#error')?.textContent ?? ''));
    expect(await tab.textContent('#error')).toMatch(/PF106.*no \.onnx file in 'plain'.*mend/s);
    expect(await tab.isDisabled('#run')).toBe(true);
  });

  test('a bare .onnx opens and runs on random inputs, on wasm and on WebGPU; of software no speed is claimed', async () => {
    await open('file', join(root, 'test/graphs/bert.optimum-eager.onnx'));
    await opened();
    expect(await tab.textContent('#about')).toMatch(/no configuration: random inputs/);
    await tab.selectOption('#choice', 'exact-blocked');
    await tab.selectOption('#tokens', '32');
    await tab.click('#run');
    await says(tab, /^Done/);
    expect(await tab.textContent('#verdict')).toMatch(/: <?0?\.?\d* % off, correlation 1\.0000/);
    await tab.selectOption('#device', 'webgpu');
    await tab.click('#run');
    await tab.waitForFunction(() => document.querySelectorAll('#tried tr').length === 2, undefined, patience);
    await says(tab, /^Done/);
    expect(await tab.textContent('#tried tr:first-child')).toMatch(/no claim.*1\.0000.*software/s);
    expect(await tab.textContent('#verdict')).toMatch(/^software in the place of a GPU: no claim about time; /);
    await tab.selectOption('#device', 'wasm');
  });

  test('a plan file of another model, and one that is none', async () => {
    await tab.selectOption('#choice', 'file');
    await tab.setInputFiles('#plan-file', { name: 'a.json', mimeType: '', buffer: Buffer.from('{"schema":"other"}') });
    await says(tab, /did not work/);
    expect(await tab.textContent('#error')).toMatch(/a\.json is no plan file/);
    await tab.setInputFiles('#plan-file', { name: 'b.json', mimeType: '', buffer: Buffer.from('not JSON') });
    await tab.waitForFunction(() => /b\.json/.test(document.querySelector('#error')?.textContent ?? ''));
    await tab.setInputFiles('#plan-file', join(root, 'models/vit-s14-saliency/hybrid.plan.json'));
    await says(tab, /hybrid\.plan\.json read/);
    await tab.click('#run');
    await says(tab, /did not work/);
    expect(await tab.textContent('#error')).toMatch(/PF502.*mend/s);
  });

  test('a folder of transformers.js opens with its task, and generates', async () => {
    await open('folder', folder);
    await opened();
    expect(await tab.textContent('#about')).toMatch(/4 attention layers with 16 heads, text-generation/);
    await tab.selectOption('#choice', 'exact-blocked');
    await tab.click('#run');
    await says(tab, /^Done/);
    expect(await tab.textContent('#patched')).toBe(await tab.textContent('#original'));
  });

  test('by the keyboard alone: open, choose, run', async () => {
    const to = async (id: string) => {
      for (let steps = 0; steps < 60; steps++) {
        if (await tab.evaluate((id) => document.activeElement?.id === id, id)) return;
        await tab.keyboard.press('Tab');
      }
      throw new Error(`Tab does not lead to #${id}`);
    };
    await tab.reload();
    await to('source');
    await tab.keyboard.type('performer');
    await to('load');
    await tab.keyboard.press('Enter');
    await opened();
    await to('choice');
    await tab.keyboard.type('exact');
    await to('run');
    await tab.keyboard.press('Space');
    await says(tab, /^Done/);
    expect(await tab.textContent('#patched')).toBe(await tab.textContent('#original'));
  });

  test('nothing went wrong unseen, and nobody else was asked', async () => {
    expect(faults).toEqual([]);
    await tab.close();
  });
});

describe('demo, cancelled and calibrated', () => {
  let tab: Tab;
  let faults: string[];

  beforeAll(async () => {
    ({ tab, faults } = await openTab('demo'));
  });

  test('opening can be cancelled, the first time as later', async () => {
    await tab.click('#load');
    await tab.click('#cancel', { timeout: 2000 });
    await says(tab, /^Cancelled/);
    expect(await tab.isDisabled('#run')).toBe(true);
    await tab.click('#load');
    await says(tab, /^Open\./);
    expect(await tab.locator('#map button').count()).toBe(72);
  });

  test('calibration can be cancelled, and then gives every head a plan that runs', async () => {
    const begun = /calibrating: (?!preparing)/;
    await tab.click('#calibrate');
    await says(tab, begun);
    await tab.click('#cancel');
    await says(tab, /^Cancelled/);
    await tab.click('#calibrate');
    await says(tab, /^Calibrated: hybrid-2d/);
    expect(await tab.inputValue('#choice')).toBe('calibrated');
    await tab.click('#run');
    await says(tab, /^Done/);
    expect(await tab.locator('#map button[aria-label*="hybrid-2d"]').count()).toBeGreaterThan(60);
    expect(await tab.textContent('#verdict')).toMatch(/\d % off, correlation 0\.9/);
  });

  test('nothing went wrong unseen, and nobody else was asked', async () => {
    expect(faults).toEqual([]);
    await tab.close();
  });
});

const benchReady = (tab: Tab) =>
  tab.waitForFunction(() => !document.querySelector<HTMLButtonElement>('#start')?.disabled, undefined, patience);

/** Runs the bench page to its end; its result. */
async function measure(
  tab: Tab,
  { backend, methods, longest }: { backend: string; methods: readonly string[]; longest: string },
): Promise<BenchResult> {
  await tab.selectOption('#longest', longest);
  for (const [name, chosen] of Object.entries({ backend: [backend], method: methods })) {
    for (const box of await tab.locator(`input[name=${name}]`).all())
      await box.setChecked(chosen.includes((await box.inputValue()) ?? ''));
  }
  await tab.click('#start');
  await says(tab, /^Done/);
  const result: BenchResult = JSON.parse((await tab.textContent('#json')) ?? '');
  const schema = JSON.parse(readFileSync(join(root, 'docs/bench.schema.json'), 'utf8'));
  expect(violations(result, schema)).toEqual([]);
  const lanes = methods.map((method) => `${backend} ${method}`);
  expect([...new Set(result.cells.map(({ backend, method }) => `${backend} ${method}`))]).toEqual(lanes);
  return result;
}

test('bench in an isolated page: wasm has threads, and gives the answer with them', async () => {
  const isolated = await serve({ '/': out });
  const { tab, faults } = await openTab('bench', isolated);
  await benchReady(tab);
  await tab.selectOption('#shape', 'vit');
  const { backends, cells } = await measure(tab, { backend: 'wasm', methods: ['plain', 'features'], longest: '256' });
  expect(backends.map(({ name, threads }) => [name, threads])).toEqual([['wasm', cpus().length]]);
  expect(cells.map(({ status }) => status)).toEqual(['ok', 'ok', 'ok', 'ok']);
  const [plain, features] = ['plain', 'features'].map((name) => cells.find(({ method }) => method === name));
  if (plain?.status === 'ok') expect(plain.error).toBeLessThan(5e-6);
  if (features?.status === 'ok') expect(features.error).toBeGreaterThan(1e-3);
  expect(faults).toEqual([]);
  await tab.close();
  isolated.close();
});

describe('bench', () => {
  let tab: Tab;
  let faults: string[];

  beforeAll(async () => {
    ({ tab, faults } = await openTab('bench'));
    await benchReady(tab);
  });

  test('two methods on wasm to the end, a result that fits its schema', async () => {
    await tab.selectOption('#shape', 'vit');
    const result = await measure(tab, { backend: 'wasm-1', methods: ['plain', 'features'], longest: '256' });
    const plain = result.cells.find(({ method, n }) => method === 'plain' && n === 128);
    expect(plain).toMatchObject({ status: 'ok' });
    if (plain?.status === 'ok') expect(plain.error).toBeLessThan(5e-6);
    expect(result.backends[0].roofline?.multiplyAddsPerMs).toBeGreaterThan(0);
    expect(await tab.locator('.plots svg').count()).toBeGreaterThan(0);
  });

  test('own kernels on WebGPU, a hybrid and low bits, with what the bits add', async () => {
    await tab.selectOption('#limit', '500');
    const methods = ['kernel-hybrid', 'kernel-4-bit'];
    const { title, cells } = await measure(tab, { backend: 'webgpu', methods, longest: '128' });
    expect(title).toMatch(/software adapter/);
    expect(cells.map(({ status }) => status)).toEqual(['ok', 'ok']);
    const [hybrid, fewBits] = cells.flatMap((cell) => (cell.status === 'ok' ? [cell] : []));
    expect(hybrid.error).toBeLessThan(1);
    expect(hybrid.quantisationError).toBeUndefined();
    // Twice what was measured (test/bench/kernel-methods.test.ts), and more than 8 bits have.
    expect(fewBits.quantisationError).toBeLessThan(0.047);
    expect(fewBits.quantisationError).toBeGreaterThan(0.0145);
    expect(fewBits.error).toBeLessThan(1);
  });

  test('a saved result is shown with its plots, and a file that is none is refused in words', async () => {
    const path = join(root, 'bench/results/bench-encoder.json');
    const { title, backends, machine }: BenchResult = JSON.parse(readFileSync(path, 'utf8'));
    await tab.setInputFiles('#saved', path);
    await says(tab, /^bench-encoder\.json is below/);
    expect(await tab.textContent('#result h2')).toBe(title);
    expect(await tab.locator('#result .plots svg').count()).toBe(3 * backends.length);
    expect(/times, growth and N\* are uncertain/.test((await tab.textContent('#result')) ?? '')).toBe(
      (machine.load ?? 0) > machine.cores,
    );
    const given = { schema: 'performers.bench/1', title: '<b>' };
    await tab.setInputFiles('#saved', { name: 'x.json', mimeType: '', buffer: Buffer.from(JSON.stringify(given)) });
    await says(tab, /^PF107 {2}x\.json is no result of a bench: date is no string/);
    expect(await tab.textContent('#result h2')).toBe(title);
  });

  test('methods that do not take a causal layer are not offered for it', async () => {
    const offered = () => tab.locator('input[name=method]:enabled').count();
    expect(await offered()).toBe(16);
    await tab.selectOption('#shape', 'decoder');
    expect(await offered()).toBe(10);
    for (const name of ['kernel-4-bit', 'blocks', 'nystrom'])
      expect(await tab.isDisabled(`input[value=${name}]`)).toBe(true);
  });

  test('a phone needs no sideways scrolling; nothing went wrong unseen, and nobody else was asked', async () => {
    await tab.setViewportSize({ width: 390, height: 844 });
    expect(await tab.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    expect(faults).toEqual([]);
    await tab.close();
  });
});
