/** Every bad input is a typed error in three lines, exit code 2, and leaves nothing behind. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { graphFile } from '../shared.js';
import { command, listing, performers, root, scratchFolder } from './performers.js';

const scratch = scratchFolder();
const model = graphFile('bert.optimum-eager.onnx');

/** Runs `performers`, expects it to refuse, and gives what it said. */
async function refusal(...args: string[]): Promise<string> {
  const before = listing(scratch);
  const { code, stdout, stderr } = await performers(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(listing(scratch)).toEqual(before);
  return hide(stderr);
}

/** Paths of this machine are not part of a message. */
function hide(text: string): string {
  return text.replaceAll(scratch, '…').replaceAll(root, './').trim();
}

beforeAll(() => {
  const bytes = readFileSync(model);
  writeFileSync(join(scratch, 'page.onnx'), '<!DOCTYPE html><title>Not found</title>');
  writeFileSync(join(scratch, 'truncated.onnx'), bytes.subarray(0, bytes.length / 2));
  writeFileSync(join(scratch, 'empty.onnx'), '');
  copyFileSync(model, join(scratch, 'model.onnx'));
  mkdirSync(join(scratch, 'no-model'));
  writeFileSync(join(scratch, 'no-model/config.json'), '{}');
  mkdirSync(join(scratch, 'external'));
  copyFileSync(graphFile('bert.dynamo18-sdpa.external.onnx'), join(scratch, 'external/model.onnx'));
  mkdirSync(join(scratch, 'mixed/onnx'), { recursive: true });
  copyFileSync(model, join(scratch, 'mixed/onnx/a.onnx'));
  writeFileSync(join(scratch, 'mixed/onnx/b.onnx'), bytes.subarray(0, 1000));
});

const at = (name: string) => join(scratch, name);
const linearize = (input: string, output: string, ...more: string[]) =>
  refusal('linearize', at(input), '-o', at(output), ...more);

describe('models', () => {
  test('not ONNX', async () => {
    expect(await linearize('page.onnx', 'out.onnx')).toMatchInlineSnapshot(`
      "PF101  not an ONNX model: no graph in its 39 bytes (they begin 3c 21 44 4f 43 54 59 50)
        at   …/page.onnx
        mend pass an .onnx file; a Git LFS pointer or an HTML error page is a common mix-up"
    `);
  });

  test('truncated', async () => {
    expect(await linearize('truncated.onnx', 'out.onnx')).toMatchInlineSnapshot(`
      "PF102  the model is truncated or damaged: it breaks off within its 42983 bytes
        at   …/truncated.onnx
        mend download or export the file again and compare its size"
    `);
  });

  test('empty', async () => {
    expect(await linearize('empty.onnx', 'out.onnx')).toMatchInlineSnapshot(`
      "PF103  the input is empty: 0 bytes
        at   …/empty.onnx
        mend pass the bytes of an .onnx file"
    `);
  });

  test('a folder without a model', async () => {
    expect(await linearize('no-model', 'out')).toMatchInlineSnapshot(`
      "PF106  no model in this folder: no file in it ends in .onnx
        at   …/no-model
        mend pass an .onnx file, or a model folder as transformers.js has it: config.json and onnx/model.onnx"
    `);
  });

  test('external data missing', async () => {
    expect(await linearize('external', 'out')).toMatchInlineSnapshot(`
      "PF104  external weights are missing: bert.dynamo18-sdpa.external.onnx_data (tensor model.embeddings.word_embeddings.weight)
        at   …/external/model.onnx
        mend put them beside the model, under the names that the model gives them"
    `);
    expect(await linearize('external/model.onnx', 'out.onnx')).toContain('PF104');
  });

  test('one broken file in a folder', async () => {
    expect(await linearize('mixed', 'out')).toMatchInlineSnapshot(`
      "PF102  the model is truncated or damaged: it breaks off within its 1000 bytes
        at   …/mixed/onnx/b.onnx
        mend download or export the file again and compare its size"
    `);
  });

  test('nothing there', async () => {
    expect(await linearize('nowhere.onnx', 'out.onnx')).toMatchInlineSnapshot(`
      "PF107  a file could not be read: ENOENT: no such file or directory, stat '…/nowhere.onnx'
        at   …/nowhere.onnx
        mend check the path and its permissions"
    `);
  });
});

describe('plans', () => {
  test('unknown, with the near name', async () => {
    expect(await linearize('model.onnx', 'out.onnx', '--plan', 'windw')).toMatchInlineSnapshot(`
      "PF201  unknown plan 'windw'; did you mean 'window'?
        at   plan
        mend use one of exact, exact-blocked, features, window, hybrid, hybrid-2d, summaries, blocks, hybrid-causal, features-causal, linear-attention, window-causal, signed, nystrom, or auto"
    `);
  });

  test('m = 0', async () => {
    expect(await linearize('model.onnx', 'out.onnx', '--plan', 'features:m=0')).toMatchInlineSnapshot(`
      "PF202  m must be an integer from 1 to 8192, got 0
        at   plan features
        mend leave it out for the default, 128"
    `);
  });

  test('a layer that is not there', async () => {
    expect(await linearize('model.onnx', 'out.onnx', '--layers', '0-7=window')).toMatchInlineSnapshot(`
      "PF203  no layer 2: the model has 2
        at   rules
        mend count from 0 to 1; performers inspect lists them"
    `);
  });

  test('a rule that is none', async () => {
    expect(await linearize('model.onnx', 'out.onnx', '--layers', '3..7=window')).toMatchInlineSnapshot(`
      "PF202  option '--layers <rule>' argument '3..7=window' is invalid. '3..7' is no index or range such as 0-3.
        at   command line
        mend performers --help and performers COMMAND --help show examples"
    `);
  });

  test('a plan file of another form', async () => {
    writeFileSync(at('plan.json'), '{ "plans": [] }');
    expect(await linearize('model.onnx', 'out.onnx', '--plan-file', at('plan.json'))).toMatchInlineSnapshot(`
      "PF202  something other than plan and rules in the plan file
        at   …/plan.json
        mend write { "plan": "exact-blocked", "rules": [{ "layers": [0, 1], "plan": "window:window=128" }] }"
    `);
  });

  test('an input file of another form', async () => {
    writeFileSync(at('input.json'), '{ "input_ids": { "type": "int64", "dims": [1, 3], "data": [1, 2] } }');
    expect(await linearize('model.onnx', 'out.onnx', '--input', at('input.json'))).toMatchInlineSnapshot(`
      "PF202  'input_ids' has 2 elements and dims for 3 in the input file
        at   …/input.json
        mend write { "inputs": { NAME: { "type": "int64", "dims": [1, 3], "data": [1, 2, 3] } } }"
    `);
  });
});

describe('outputs', () => {
  test('the original itself', async () => {
    expect(await linearize('model.onnx', 'model.onnx', '--force')).toMatchInlineSnapshot(`
      "PF108  model.onnx overlaps with the original, which is never changed
        at   …/model.onnx
        mend choose an output beside it"
    `);
  });

  test.each([['mixed/out'], ['mixed'], ['.']])('a folder that holds or is held by the original: %s', async (output) => {
    expect(await linearize('mixed', output, '--force')).toContain('overlaps with the original');
  });

  test('one that is there already', async () => {
    writeFileSync(at('taken.onnx'), 'precious');
    expect(await linearize('model.onnx', 'taken.onnx')).toMatchInlineSnapshot(`
      "PF108  taken.onnx is there already
        at   …/taken.onnx
        mend choose another output, or replace it with --force"
    `);
  });

  test('a file that is no model, for one model', async () => {
    expect(await linearize('model.onnx', 'out')).toMatchInlineSnapshot(`
      "PF202  the output of one model must end in .onnx, got '…/out'
        at   -o
        mend name a file; a folder comes out where a folder goes in"
    `);
  });

  test.each([
    ['file', 'model.onnx', 'out.onnx'],
    ['folder', 'mixed-large', 'out'],
  ])('disk full while writing a %s', async (_, input, output) => {
    mkdirSync(at('mixed-large/onnx'), { recursive: true });
    copyFileSync(model, at('mixed-large/onnx/model.onnx'));
    const before = listing(scratch);
    // The kernel stops every file at 40 blocks of 1,024 bytes, as a full disk would.
    const limited = `ulimit -f 40; exec "$0" "$@"`;
    const args = ['-c', limited, ...command, 'linearize', at(input), '-o', at(output)];
    // tsx writes what it compiled to its cache: not what is tested, and not to be cut short.
    const env = { ...process.env, TSX_DISABLE_CACHE: '1' };
    const { code, stderr } = await new Promise<{ code: number; stderr: string }>((resolve) => {
      execFile('bash', args, { cwd: root, env }, (error, _, text) =>
        resolve({ code: Number(error?.code ?? 0), stderr: text }),
      );
    });
    expect(hide(stderr)).toContain('could not be written: EFBIG: file too large, write');
    expect(hide(stderr)).toMatch(/^PF108 .*\n {2}at .*\n {2}mend make room/);
    expect(code).toBe(2);
    expect(listing(scratch)).toEqual(before);
  });
});

describe('usage', () => {
  test.each([
    ['linearise x', "unknown command 'linearise' (Did you mean linearize?)"],
    ['linearize x', "required option '-o, --output <path>' not specified"],
    ['linearize x -o y.onnx --runtime gpu', "argument 'gpu' is invalid. Allowed choices are node, wasm."],
    ['verify x', 'verify compares two models, got 1'],
    ['verify x y --lengths 128,many', "'many' is no whole number above 0."],
    ['inspect --all x', "unknown option '--all'"],
    ['', 'no command given: inspect, linearize, verify, restore'],
  ])('performers %s', async (line, message) => {
    const said = await refusal(...line.split(' ').filter((word) => word !== ''));
    expect(said).toMatch(/^PF202 .*\n {2}at .*\n {2}mend .*$/);
    expect(said).toContain(message);
  });

  test('errors are JSON where JSON was asked for', async () => {
    const { code, stdout, stderr } = await performers('linearize', at('empty.onnx'), '-o', at('out.onnx'), '--json');
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
    expect(JSON.parse(hide(stdout))).toMatchInlineSnapshot(`
      {
        "error": {
          "at": "…/empty.onnx",
          "code": "PF103",
          "mend": "pass the bytes of an .onnx file",
          "message": "the input is empty: 0 bytes",
        },
      }
    `);
  });
});
