/** What every way of loading must show, in Chromium: the original's answers, the original in the cache, threads where there can be some. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page as Tab } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findChromium } from '../../scripts/chromium.js';
import { lowerings } from '../../src/rewrite/lower/registry.js';
import { close, expectMutantFails } from '../close.js';
import { modelFile, noModels } from '../shared.js';
import type { Answer } from './page/run.js';
import { type Served, serve } from './serve.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const at = (path: string) => join(root, path);
const saliency = 'models/vit-s14-saliency';
/** Stands in no file but those that rewrite models. */
const rewriter = lowerings['exact-blocked'].summary;
/** 17 tokens: a wasm of 27 MB is what such a page waits for. */
const size = 56;

export interface Way {
  readonly name: string;
  /** The page that sets `window.page`. */
  readonly html: string;
  /** Whether the library runs in a worker. */
  readonly worker: boolean;
  /** Whether the server sends the headers that shared memory needs. */
  readonly isolated: boolean;
  /** Folders by prefix, made when the tests begin. */
  prepare(): Promise<Readonly<Record<string, string>>>;
  readonly more?: (tab: () => Tab) => void;
}

let browser: Browser;

export function describeWays(ways: readonly Way[]): void {
  beforeAll(async () => {
    if (!existsSync(at('dist/adapters/transformers.js'))) throw new Error('nothing to load: run `npm run build` first');
    browser = await chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox'] });
  });
  afterAll(() => browser.close());
  for (const way of ways) describe(way.name, () => describeWay(way));
}

function describeWay({ html, worker, isolated, prepare, more }: Way): void {
  const requests: string[] = [];
  const faults: string[] = [];
  let server: Served;
  let tab: Tab;

  beforeAll(async () => {
    const models: Record<string, string> = noModels
      ? {}
      : { '/models/all-MiniLM-L6-v2/': modelFile('all-MiniLM-L6-v2') };
    const folders = { [`/${saliency}/`]: at(saliency), ...models, ...(await prepare()) };
    server = await serve(folders, { isolated });
    tab = await browser.newPage();
    tab.on('request', (request) => requests.push(request.url()));
    tab.on('pageerror', (error) => faults.push(error.message));
    await tab.goto(`${server.origin}/${html}`);
    await tab.waitForFunction(() => 'page' in window, undefined, { timeout: 120_000 });
  });

  afterAll(async () => {
    await tab.close();
    server.close();
  });

  const depth = (options: object): Promise<Answer> =>
    tab.evaluate(([options, size]) => window.page.depth({ numThreads: 2, ...options }, size), [options, size] as const);

  /** All scripts that were loaded so far, but for the runtime's own. */
  const scriptText = async (): Promise<string> => {
    const paths = new Set(server.paths.filter((path) => path.endsWith('.js') && !path.startsWith('/ort/')));
    const texts = [...paths].map(async (path) => (await fetch(server.origin + path)).text());
    return (await Promise.all(texts)).join('\n');
  };

  test('exact-blocked gives the map of the original, and says what was done', async () => {
    const want = await depth({ original: true });
    const asIs = await scriptText();
    const got = await depth({ plan: 'exact-blocked:block=8' });
    // What rewrites models is loaded when one is to be rewritten.
    expect([asIs, await scriptText()].map((text) => text.includes(rewriter))).toEqual([false, true]);
    const ruined = await depth({ plan: 'features:m=16' });
    expect(got.sites).toEqual({ model: 12 });
    close(got.values, want.values, 1e-5);
    expectMutantFails(() => close(ruined.values, want.values, 1e-2));
  });

  test('it runs where it was said to, on threads if the page is isolated', async () => {
    const where = await tab.evaluate(() => window.page.where());
    expect(where).toEqual({ worker, isolated, threads: isolated ? expect.any(Number) : 0 });
    if (isolated) expect(where.threads).toBeGreaterThan(0);
  });

  test('the cache of transformers.js holds the original, byte for byte', async () => {
    const file = `${saliency}/onnx/model.onnx`;
    const original = createHash('sha256')
      .update(readFileSync(at(file)))
      .digest('hex');
    expect(await tab.evaluate(() => window.page.cached())).toEqual({ [`/${file}`]: original });
  });

  test('an unknown plan', async () => {
    const message = await tab.evaluate(() =>
      window.page.depth({ plan: 'windw' }, 56).catch((error: Error) => error.message),
    );
    expect(message).toMatch(/^PF201 .* did you mean 'window'\?/);
  });

  more?.(() => tab);

  test('nothing went wrong unseen, and nothing was asked of another host', () => {
    const hosts = new Set(requests.filter((url) => !url.startsWith('blob:')).map((url) => new URL(url).hostname));
    expect([...hosts]).toEqual(['127.0.0.1']);
    expect(faults).toEqual([]);
  });
}
