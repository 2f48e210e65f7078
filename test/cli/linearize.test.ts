import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { decode } from '../../src/onnx/decode.js';
import { graphFile, modelFile, noModels } from '../shared.js';
import { digest, listing, type Outcome, performers, scratchFolder } from './performers.js';

const scratch = scratchFolder();
const at = (name: string) => join(scratch, name);
const bert = graphFile('bert.optimum-eager.onnx');
const external = graphFile('bert.dynamo18-sdpa.external.onnx');

function ok({ code, stdout, stderr }: Outcome): string {
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.replaceAll(scratch, '…');
}

/** What the file itself says was done to it. */
function planIn(path: string): unknown {
  const { metadataProps } = decode(new Uint8Array(readFileSync(path)));
  return JSON.parse(metadataProps.find(({ key }) => key === 'performers.plan')?.value ?? 'null');
}

describe('a file', () => {
  test('is rewritten with the default plan, which is said, and restored byte for byte', async () => {
    expect(ok(await performers('linearize', bert, '-o', at('default.onnx')))).toMatchInlineSnapshot(`
      "bert.optimum-eager.onnx: 2 layers rewritten
        0-1: exact-blocked:block=256
      written to …/default.onnx, report in …/default.performers.json
      plan: exact-blocked, the default: same answers, less memory. Linear time: --plan auto
      "
    `);
    expect(planIn(at('default.onnx'))).toHaveLength(2);
    ok(await performers('restore', at('default.onnx'), at('default.performers.json'), '-o', at('original.onnx')));
    expect(digest(at('original.onnx'))).toBe(digest(bert));
  });

  test('rules by layer and head, from the command line and from a file', async () => {
    const plan = { plan: 'window:window=64', rules: [{ layers: 1, plan: 'exact-blocked' }] };
    writeFileSync(at('plan.json'), JSON.stringify(plan));
    const rules = ['--plan-file', at('plan.json'), '--layers', '0/0-1=features:m=16,seed=3'];
    const out = JSON.parse(ok(await performers('linearize', bert, '-o', at('rules.onnx'), ...rules, '--json')));
    expect(out).toMatchObject({ schema: 'performers.linearize/1', report: '…/rules.performers.json', copied: [] });
    const plans = out.files[0].sites.map((site: { plans: { heads: number[]; plan: string }[] }) =>
      site.plans.map(({ heads, plan }) => `${heads.join()} ${plan.split(',')[0]}`),
    );
    expect(plans).toMatchInlineSnapshot(`
      [
        [
          "0,1 features:map=favor+",
          "2,3 window:window=64",
        ],
        [
          "0,1,2,3 exact-blocked:block=256",
        ],
      ]
    `);
  });

  test('auto measures on generated inputs, and says why', async () => {
    const out = ok(
      await performers('linearize', bert, '-o', at('auto.onnx'), '--plan', 'auto', '--sample-length', '24'),
    );
    expect(out).toMatch(/last_hidden_state: relRMS/);
    expect(out).toMatch(/alone changes the output by/);
  });

  test('auto measures on given inputs', async () => {
    const input = graphFile('bert.optimum-eager.io.json');
    const args = ['--plan', 'auto', '--input', input, '--max-error', '1e-9', '--json'];
    const { files } = JSON.parse(ok(await performers('linearize', bert, '-o', at('strict.onnx'), ...args)));
    expect(files[0].sites.map(({ plans }: { plans: { plan: string }[] }) => plans[0].plan.split(':')[0])).toEqual([
      'exact-blocked',
      'exact-blocked',
    ]);
    expect(files[0].measured).toMatchObject([{ name: 'last_hidden_state' }]);
  });

  test('its external weights come along', async () => {
    ok(await performers('linearize', external, '-o', at('elsewhere/model.onnx')));
    const data = 'bert.dynamo18-sdpa.external.onnx_data';
    expect(Object.keys(listing(at('elsewhere')))).toEqual([data, 'model.onnx', 'model.performers.json']);
    const { code, stdout } = await performers(
      'verify',
      external,
      at('elsewhere/model.onnx'),
      '--lengths',
      '9',
      '--json',
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout).outputs[0].relRMS).toBeLessThan(1e-5);
  });
});

describe('a folder', () => {
  test('keeps its layout; what is no model is copied; restored byte for byte', async () => {
    mkdirSync(at('in/onnx'), { recursive: true });
    copyFileSync(bert, at('in/onnx/model.onnx'));
    copyFileSync(graphFile('lstm-pooling.torchscript17.onnx'), at('in/onnx/pool.onnx'));
    writeFileSync(at('in/config.json'), '{}');
    const before = listing(at('in'));
    expect(ok(await performers('linearize', at('in'), '-o', at('out')))).toMatchInlineSnapshot(`
      "onnx/model.onnx: 2 layers rewritten
        0-1: exact-blocked:block=256
      onnx/pool.onnx: copied as it is: no attention that could be rewritten
      written to …/out, report in …/out/performers.json
      plan: exact-blocked, the default: same answers, less memory. Linear time: --plan auto
      "
    `);
    expect(listing(at('in'))).toEqual(before);
    const after = listing(at('out'));
    expect(Object.keys(after)).toEqual(['config.json', 'onnx/model.onnx', 'onnx/pool.onnx', 'performers.json']);
    expect(after['onnx/pool.onnx']).toBe(before['onnx/pool.onnx']);
    expect(after['onnx/model.onnx']).not.toBe(before['onnx/model.onnx']);

    ok(await performers('restore', at('out'), at('out/performers.json'), '-o', at('back')));
    expect(listing(at('back'))).toEqual(before);
  });

  test('is replaced only when told to', async () => {
    const first = listing(at('out'));
    expect((await performers('linearize', at('in'), '-o', at('out'))).stderr).toContain('is there already');
    expect(listing(at('out'))).toEqual(first);
    ok(await performers('linearize', at('in'), '-o', at('out'), '--force', '--plan', 'window'));
    expect(Object.keys(listing(at('out')))).toEqual(Object.keys(first));
    expect(listing(at('out'))['onnx/model.onnx']).not.toBe(first['onnx/model.onnx']);
  });

  test.skipIf(noModels)('a model that holds the weights of another is left as it is', async () => {
    const folder = modelFile('SmolLM2-135M-Instruct');
    const { copied } = JSON.parse(ok(await performers('linearize', folder, '-o', at('smol'), '--json')));
    expect(copied).toContainEqual({
      file: 'onnx/model_q4.onnx',
      reason: 'onnx/model_plain_q4.onnx reads its weights from this file, by position',
    });
    expect(digest(at('smol/onnx/model_q4.onnx'))).toBe(digest(join(folder, 'onnx/model_q4.onnx')));
  });
});

test('a report of another model restores nothing', async () => {
  const reports = [at('elsewhere/model.performers.json'), bert];
  for (const report of reports) {
    const { code, stderr } = await performers('restore', at('strict.onnx'), report, '-o', at('wrong.onnx'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/^PF20[25]/);
  }
});
