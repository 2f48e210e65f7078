import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import manifest from '../../models/manifest.json' with { type: 'json' };
import { graphFile } from '../shared.js';
import { performers, scratchFolder } from './performers.js';

const scratch = scratchFolder();

test('a table of what is alike', async () => {
  const { code, stdout } = await performers('inspect', 'models');
  expect(code).toBe(0);
  expect(stdout).toMatchInlineSnapshot(`
    "models/vit-s14-saliency/onnx/model.onnx: 12 sites, 0 near misses, 0 refusals
      layers  form     kind  heads  width  mask  scale  positions  cache  subgraph
        0-11  softmax  self      6     64  none  0.125  none       no            -
    "
  `);
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
