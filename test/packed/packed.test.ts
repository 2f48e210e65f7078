/**
 * The package as a stranger gets it: packed, installed into an empty project beside each supported transformers.js, then
 * imported, type-checked, and run from code and from the command line.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import manifest from '../../models/manifest.json' with { type: 'json' };

const root = fileURLToPath(new URL('../../', import.meta.url));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const modelName = 'vit-s14-saliency';
const modelFile = join(root, 'models', modelName, 'onnx/model.onnx');
const sites = manifest.models.find(({ name }) => name === modelName)?.sites ?? [];
const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'performers-packed-')));
let tarball = process.env.PERFORMERS_TARBALL ?? '';

beforeAll(async () => {
  if (tarball !== '') return;
  if (!existsSync(join(root, 'dist/index.js'))) throw new Error('nothing to pack: run `npm run build` first');
  await run(root, 'npm', 'pack', '--pack-destination', scratch);
  tarball = join(scratch, readdirSync(scratch).find((file) => file.endsWith('.tgz')) ?? 'missing.tgz');
});

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test('holds what it needs and no more', async () => {
  const { stdout } = await run(scratch, 'tar', '-tzf', tarball);
  const files = stdout.trim().split('\n');
  expect(files).toEqual(expect.arrayContaining(['package/README.md', 'package/LICENSE', 'package/CHANGELOG.md']));
  expect(files.filter((file) => !/^package\/(dist\/|[^/]+$)/.test(file))).toEqual([]);
});

describe.each(['4.3.1', '3.8.1'])('beside @huggingface/transformers %s', (version) => {
  const project = join(scratch, version);

  beforeAll(async () => {
    const packages = [tarball, `@huggingface/transformers@${version}`];
    mkdirSync(project);
    write('package.json', JSON.stringify({ name: 'consumer', private: true, type: 'module' }));
    await run(
      project,
      'npm',
      'install',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
      ...packages,
    );
  });

  test('all entry points load in Node', async () => {
    const loaded = await script(`
      const names = ['transformers', 'onnxruntime', 'kernels', 'transformers/global'];
      const entries = ['performers.js', ...names.map((name) => \`performers.js/\${name}\`)];
      const modules = await Promise.all(entries.map((entry) => import(entry)));
      print(modules.map((module) => Object.keys(module)));
    `);
    const [core, transformers, onnxruntime, kernels, global] = loaded as string[][];
    expect(core).toEqual(expect.arrayContaining(['linearize', 'PerformersError']));
    expect(transformers).toContain('performers');
    expect(global).toEqual(['performers']);
    expect(onnxruntime).not.toEqual([]);
    expect(kernels).toEqual(expect.arrayContaining(['attend', 'openGpu']));
  });

  test('an error of an adapter is an error of the core', async () => {
    // Two copies of the class in the bundle would break `instanceof`.
    const same = await script(`
      const { PerformersError, linearize } = await import('performers.js');
      const error = await linearize(new Uint8Array(0)).catch((error) => error);
      print([error instanceof PerformersError, error.code]);
    `);
    expect(same).toEqual([true, 'PF103']);
  });

  test.each(['bundler', 'node16'])('types resolve under moduleResolution %s', async (moduleResolution) => {
    write(
      'use.ts',
      `
      import { linearize, PerformersError, type Report } from 'performers.js';
      import { performers } from 'performers.js/transformers';
      import * as onnxruntime from 'performers.js/onnxruntime';

      const { bytes, report } = await linearize(new Uint8Array(8), { plan: 'exact-blocked' });
      export const sizes: [number, number] = [bytes.byteLength, report.sites.length];
      export const first = (all: Report): string | undefined => all.sites[0]?.node;
      export const code = (error: PerformersError): string => error.code;
      export const options: object = { ...performers({ plan: 'exact-blocked' }) };
      export const names: string[] = Object.keys(onnxruntime);

      // Were the types lost on the way, these would be \`any\` and take anything.
      // @ts-expect-error not bytes
      await linearize(42);
      // @ts-expect-error not options
      performers(42);
      // @ts-expect-error no such export
      onnxruntime.missing;
      `,
    );
    const compilerOptions = {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      target: 'es2022',
      lib: ['es2022', 'dom'],
      module: moduleResolution === 'node16' ? 'node16' : 'esnext',
      moduleResolution,
      types: [],
    };
    write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['use.ts'] }));
    await run(project, process.execPath, tsc);
  });

  test('linearize writes a model', async () => {
    const counts = await script(`
      import { readFileSync } from 'node:fs';
      const { linearize } = await import('performers.js');
      const { bytes, report } = await linearize(readFileSync(${JSON.stringify(modelFile)}), { plan: 'exact-blocked' });
      print([report.sites.length, bytes instanceof Uint8Array, bytes.byteLength > 27e6]);
    `);
    expect(counts).toEqual([sites.length, true, true]);
  });

  test('a pipeline runs patched', async () => {
    const result = await script(`
      import { env, pipeline } from '@huggingface/transformers';
      import { performers } from 'performers.js/transformers';
      env.allowRemoteModels = false;
      env.localModelPath = ${JSON.stringify(join(root, 'models'))};
      const options = { dtype: 'fp32', ...performers({ plan: 'exact-blocked' }) };
      const pipe = await pipeline('depth-estimation', '${modelName}', options);
      const image = ${JSON.stringify(join(root, 'models', modelName, 'samples/chelsea.png'))};
      const { predicted_depth } = await pipe(image);
      const [report] = Object.values(performers.report(pipe));
      print({ peak: predicted_depth.data.reduce((a, b) => Math.max(a, b)), plans: report.sites.flatMap(({ plans }) => plans.map(({ plan }) => plan)) });
      await pipe.dispose();
    `);
    const { peak, plans } = result as { peak: number; plans: string[] };
    expect(peak).toBeCloseTo(0.989, 2); // SOURCE.md of the model
    expect(plans).toHaveLength(sites.length);
    expect(plans.every((plan) => plan.startsWith('exact-blocked'))).toBe(true);
  });

  test('performers --help exits 0', async () => {
    const { stdout } = await run(project, 'npx', '--no-install', 'performers', '--help');
    for (const command of ['inspect', 'linearize', 'verify']) expect(stdout).toContain(command);
  });

  test('performers inspect --json reports the sites of the manifest', async () => {
    const { stdout } = await run(project, 'npx', '--no-install', 'performers', 'inspect', modelFile, '--json');
    const { files } = JSON.parse(stdout) as { files: { error?: unknown; sites: object[]; refusals: object[] }[] };
    expect(files).toHaveLength(1);
    expect(files[0]?.error).toBeUndefined();
    expect(files[0]?.sites).toHaveLength(12);
    expect(files[0]?.sites).toMatchObject(sites.map((site) => ({ ...site, scale: expect.closeTo(site.scale, 6) })));
  });

  function write(file: string, text: string): void {
    writeFileSync(join(project, file), text);
  }

  /** Runs an ES module in the project; its last line of output is JSON, sent by `print`. */
  async function script(body: string): Promise<unknown> {
    write('script.mjs', `${body}\nfunction print(value) { console.log('\\n' + JSON.stringify(value)); }\n`);
    const { stdout } = await run(project, process.execPath, 'script.mjs');
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  }
});

/** Runs a program; a failure shows all it printed. */
async function run(cwd: string, command: string, ...args: string[]): Promise<{ stdout: string }> {
  // The npm that runs these tests hands its settings and the repository's paths down; the projects start without them.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_(package|lifecycle|config_local_prefix)|INIT_CWD|VITEST|NODE_ENV)/.test(name),
    ),
  );
  try {
    return await promisify(execFile)(command, args, { cwd, env, maxBuffer: 64e6 });
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string };
    throw new Error(`${[command, ...args].join(' ')}\n${stdout}${stderr}`, { cause });
  }
}
