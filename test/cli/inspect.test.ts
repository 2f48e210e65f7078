import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import schema from '../../docs/inspect.schema.json' with { type: 'json' };
import manifest from '../../models/manifest.json' with { type: 'json' };
import { violations } from '../json-schema.js';
import { graphFile } from '../shared.js';
import { performers, scratchFolder } from './performers.js';

const scratch = scratchFolder();

test('a table of what is alike', async () => {
  const { code, stdout } = await performers('inspect', 'models/vit-s14-saliency');
  expect(code).toBe(0);
  expect(stdout).toMatchInlineSnapshot(`
    "models/vit-s14-saliency/onnx/model.onnx: 12 sites, 0 near misses, 0 refusals
      layers  form     kind  heads  width  mask  scale  positions  cache  subgraph
        0-11  softmax  self      6     64  none  0.125  none       no            -
    "
  `);
});

test('a folder, and in it a file that is rewritten already: its sites are named as such', async () => {
  const { code, stdout } = await performers('inspect', 'models');
  expect(code).toBe(0);
  expect(stdout).toContain('models/performer-stories/onnx/model.onnx: 0 sites, 0 near misses');
  const left = stdout.match(/left alone \S+/g) ?? [];
  expect(left).toEqual(['', '_1', '_2', '_3'].map((layer) => `left alone /Softmax${layer}_output_0`));
  expect(stdout.match(/it was rewritten by performers \(features-causal:/g)).toHaveLength(4);
  expect(stdout).toMatch(/^2 files: 12 sites, 0 near misses/m);
});

test('JSON: what is printed fits the schema in docs, and the schema fits nothing else', async () => {
  const broken = join(scratch, 'middle.onnx');
  writeFileSync(broken, 'no model');
  const { code, stdout } = await performers(
    'inspect',
    graphFile(''),
    broken,
    'models',
    join(scratch, 'absent'),
    '--json',
  );
  expect(code).toBe(1);
  const inspection = JSON.parse(stdout);
  expect(violations(inspection, schema)).toEqual([]);
  const { files, total } = inspection;
  expect(total).toMatchObject({ files: files.length, broken: 2 });
  expect(files.at(-2).sites).toHaveLength(12);
  const sum = (count: (file: typeof files) => number) =>
    files.reduce((all: number, file: typeof files) => all + count(file), 0);
  expect(total.sites).toBe(sum(({ sites }) => sites.length));
  expect(total.refusals).toBe(sum(({ refusals }) => refusals.length));
  const [file] = files;
  for (const mutant of [
    { ...inspection, schema: 'performers.inspect/2' },
    { ...inspection, total: { ...total, sites: '12' } },
    { ...inspection, files: [{ ...file, sites: [{ ...file.sites[0], mask: 'windowed' }] }] },
    { ...inspection, files: [{ ...file, sites: [{ ...file.sites[0], operands: {} }] }] },
    { ...inspection, files: [{ ...file, refusals: [{ node: '' }] }] },
  ])
    expect(violations(mutant, schema)).not.toEqual([]);
});

test('a broken file in the middle is a row, the rest goes on', async () => {
  const broken = join(scratch, 'between.onnx');
  writeFileSync(broken, 'no model');
  const decoder = graphFile('whisper-decoder-merged.optimum-eager.onnx');
  const encoder = graphFile('whisper-encoder.optimum-eager.onnx');
  const { code, stdout } = await performers('inspect', encoder, broken, decoder);
  expect(code).toBe(1);
  expect(stdout).toContain(`${broken}\n  PF101  `);
  expect(stdout).toContain(`${encoder}: 2 sites, 0 near misses, 0 refusals`);
  expect(stdout).toMatch(/^3 files: 10 sites, 0 near misses, 0 refusals; 1 broken$/m);
});

test('JSON: the sites of the manifest, a refusal, and a broken file as a row', async () => {
  const broken = join(scratch, 'broken.onnx');
  writeFileSync(broken, 'no model');
  const vit = 'models/vit-s14-saliency';
  const attentions = graphFile('bert.torchscript17-attentions.onnx');
  const { code, stdout, stderr } = await performers('inspect', vit, attentions, broken, '--json');
  expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
  const { schema, files } = JSON.parse(stdout);
  expect(schema).toBe('performers.inspect/1');
  expect(files.map(({ file }: { file: string }) => file)).toEqual([join(vit, 'onnx/model.onnx'), attentions, broken]);

  const [model, declined, failed] = files;
  const sites = manifest.models.find(({ name }) => name === 'vit-s14-saliency')?.sites ?? [];
  expect(model.sites).toMatchObject(sites.map((site) => ({ ...site, scale: expect.closeTo(site.scale, 6) })));
  expect(Object.keys(model.sites[0])).not.toContain('operands');
  expect(model).toMatchObject({ nearMisses: [], refusals: [] });

  expect(declined.sites).toEqual([]);
  const left = [...declined.nearMisses, ...declined.refusals];
  expect(left).toHaveLength(2);
  for (const item of left)
    expect(item).toMatchObject({ node: expect.any(String), output: expect.any(String), subgraph: '' });

  expect(failed).toMatchObject({ sites: [], nearMisses: [], refusals: [], error: { code: 'PF101', at: broken } });
});

test.each(['inspect', 'linearize', 'verify', 'restore'])('%s --help gives two examples', async (name) => {
  const { code, stdout } = await performers(name, '--help');
  expect(code).toBe(0);
  expect(stdout.split('Examples:')[1]?.match(/^ {2}performers /gm)?.length).toBeGreaterThanOrEqual(2);
  expect(stdout).toContain('--json');
});
