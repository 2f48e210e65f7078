/** linearize with a plan for every head, and verify --task, from the command line, on the model that ships. */
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseHTML } from 'linkedom';
import { describe, expect, test, vi } from 'vitest';
import { graphFile, modelFile, noModels } from '../shared.js';
import { command, digest, listing, performers, root, scratchFolder } from './performers.js';

// Several calibrations of a real model, each in a process of its own.
vi.setConfig({ testTimeout: 600_000 });

/** One input of the small BERT as a line. */
function bertLine(id: number, mask = 1): string {
  const tensor = (value: number) => ({ type: 'int64', dims: [1, 16], data: new Array(16).fill(value) });
  return JSON.stringify({ input_ids: tensor(id), attention_mask: tensor(mask), token_type_ids: tensor(0) });
}

const scratch = scratchFolder();
const at = (name: string) => join(scratch, name);
const vit = 'models/vit-s14-saliency/onnx/model.onnx';
/** 144 patches and the class token, so that plans of about 110 keys are in use. */
const small = ['--size', '168', '--inputs', '3', '--budget', '110', '--keep', '0', '--no-heal'];

async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await performers(...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.replaceAll(scratch, '…');
}

describe('without data of one’s own', () => {
  test('a model of images is calibrated on what is built in, and that is said', async () => {
    const out = await ok(
      'linearize',
      vit,
      '-o',
      at('a.onnx'),
      ...small,
      '--page',
      at('a.html'),
      '--picture',
      at('a.svg'),
    );
    expect(out).toMatch(/calibrated on 3 images of 168 × 168 pixels that are built in, .* 0 of 72 heads exact/);
    expect(out).toContain('better give some with --data');
    expect(Object.keys(listing(scratch)).filter((name) => name.startsWith('a.'))).toEqual([
      'a.html',
      'a.onnx',
      'a.performers.json',
      'a.plan.json',
      'a.svg',
    ]);
    const { calibration, sites } = JSON.parse(readFileSync(at('a.plan.json'), 'utf8'));
    expect(calibration).toMatchObject({ kind: 'images', builtIn: true });
    expect(calibration.sources).toHaveLength(13);
    expect(sites).toHaveLength(12);
  });

  test('the page has a row for every head, and fetches nothing', () => {
    const text = readFileSync(at('a.html'), 'utf8');
    const { document } = parseHTML(text);
    expect(document.querySelectorAll('table')[0]?.querySelectorAll('tbody tr')).toHaveLength(72);
    expect([...document.querySelectorAll('svg')].map((svg) => svg.getAttribute('aria-label'))).toEqual([
      'Plan of every head',
      'Cost and predicted error',
    ]);
    expect(text).not.toMatch(/(?:src|href)="(?!data:)|url\(|@import|<script/);
    expect(readFileSync(at('a.svg'), 'utf8')).toContain('Plan of every head');
  });

  test('interrupted, the next run goes on where it was, to the same bytes', async () => {
    const args = ['linearize', vit, '-o', at('b.onnx'), ...small];
    const [node, ...start] = command;
    const child = spawn(node, [...start, ...args], { cwd: root, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.on('exit', resolve));
    while (!existsSync(at('b.calibration/layer-3.json')) && child.exitCode === null) await sleep(20);
    child.kill('SIGKILL');
    await ended;
    expect(existsSync(at('b.onnx'))).toBe(false);
    // What is read again is what decides: another number of it makes another plan.
    const kept = readFileSync(at('b.calibration/layer-0.json'), 'utf8');
    await ok(...args);
    expect(digest(at('b.onnx'))).toBe(digest(at('a.onnx')));
    expect(digest(at('b.plan.json'))).toBe(digest(at('a.plan.json')));
    expect(existsSync(at('b.calibration'))).toBe(false);

    const layer = JSON.parse(kept);
    mkdirSync(at('c.calibration'));
    const bent = { ...layer, shares: layer.shares.map((row: number[]) => row.map((x) => 1000 * x)) };
    writeFileSync(at('c.calibration/layer-0.json'), JSON.stringify(bent));
    await ok('linearize', vit, '-o', at('c.onnx'), ...small);
    expect(digest(at('c.plan.json'))).not.toBe(digest(at('a.plan.json')));

    mkdirSync(at('d.calibration'));
    writeFileSync(at('d.calibration/layer-0.json'), JSON.stringify({ ...bent, key: 'of other data' }));
    writeFileSync(at('d.calibration/layer-1.json'), kept.slice(0, 100));
    await ok('linearize', vit, '-o', at('d.onnx'), ...small);
    expect(digest(at('d.plan.json'))).toBe(digest(at('a.plan.json')));
  });
});

test('a plan that costs more than exact attention on the data given is said to', async () => {
  const dear = [
    '--size',
    '112',
    '--inputs',
    '3',
    '--candidates',
    'features:map=shift,m=48',
    '--budget',
    '96',
    '--keep',
    '0',
  ];
  const out = await ok('linearize', vit, '-o', at('dear.onnx'), ...dear);
  expect(out).toContain('exact attention costs 65 on the longest of them: the plan pays on longer inputs alone');
});

describe('candidates of one’s own', () => {
  test('are chosen from, and their constants are in the plan file', async () => {
    const candidates = ['--candidates', 'features:map=shift,m=32', 'features:map=sderf,m=32'];
    const out = await ok('linearize', vit, '-o', at('f.onnx'), ...small, ...candidates);
    expect(out).toMatch(/64 key equivalents a head, 0 of 72 heads exact/);
    expect(out).toContain('exact attention costs 145 on the longest of them\n');
    const { sites } = JSON.parse(readFileSync(at('f.plan.json'), 'utf8'));
    const plans: string[] = sites.flatMap((site: { plans: { plan: string }[] }) => site.plans.map(({ plan }) => plan));
    expect([...new Set(plans)].sort()).toEqual(['features:map=sderf,m=32,seed=0', 'features:map=shift,m=32,seed=0']);
    const names = new Set(sites.flatMap((site: { constants: object }) => Object.keys(site.constants)));
    expect([...names].sort()).toEqual(['sderf32.0.bias', 'sderf32.0.omega', 'shift32.0.bias', 'shift32.0.omega']);
    await ok('linearize', vit, '-o', at('g.onnx'), '--plan-file', at('f.plan.json'));
    expect(digest(at('g.onnx'))).toBe(digest(at('f.onnx')));
  });
});

describe('keys by 4-bit estimates', () => {
  test('are candidates where they are asked for', async () => {
    const bert = graphFile('bert.optimum-eager.onnx');
    writeFileSync(at('passages.jsonl'), [5, 6, 7].map((id) => bertLine(id)).join('\n'));
    const asked = ['--data', at('passages.jsonl'), '--candidates', 'features:m=16', '--keep', '0', '--budget', '200'];
    await ok('linearize', bert, '-o', at('h.onnx'), ...asked, '--blocks', '--no-heal');
    const { sites } = JSON.parse(readFileSync(at('h.plan.json'), 'utf8'));
    expect(sites[0].plans[0].plan).toMatch(/^blocks:/);
  });

  test('are refused where no sequence is seen whole', async () => {
    const { code, stderr } = await performers('linearize', vit, '-o', at('i.onnx'), '--blocks', '--budget', '200');
    expect({ code, stderr }).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "PF202  keys are found by estimates in sequences that are seen whole: this model has none
        at   blocks
        mend leave it out: causal models keep exact heads instead (keep), images have tiles
      ",
      }
    `);
    expect(existsSync(at('i.onnx'))).toBe(false);
  });
});

describe('verify --task', () => {
  test('measures on data that calibration has not seen, as text, JSON and a page', async () => {
    const task = ['verify', vit, at('a.onnx'), '--task', 'dense', '--data', 'models/vit-s14-saliency/samples'];
    expect(await ok(...task, '--size', '168', '--page', at('task.html'))).toMatch(
      /dense on 4 images of 168 × 168 pixels\n.*\ncorrelation +0\.9\d+ +0\.9\d+ … 0\.\d+\n/,
    );
    const page = readFileSync(at('task.html'), 'utf8');
    expect(page).toContain('mean absolute difference');
    expect(page).toContain('<svg');
    const { figures } = JSON.parse(await ok(...task, '--size', '168', '--json'));
    expect(figures[0]).toMatchObject({ name: 'correlation', values: expect.any(Array) });
  });

  test('warns of inputs that err far more than what calibration held out', async () => {
    const samples = 'models/vit-s14-saliency/samples';
    const task = ['verify', vit, at('a.onnx'), '--task', 'dense', '--data', samples, '--size', '392'];
    expect(await ok(...task, '--page', at('unlike.html'))).toMatch(
      /look unlike those of calibration: the output errs by [\d.]+ %, on the inputs held out there by [\d.]+ %/,
    );
    expect(readFileSync(at('unlike.html'), 'utf8')).toContain('look unlike those of calibration');
    const { unlike } = JSON.parse(await ok(...task, '--json'));
    expect(unlike.error).toBeGreaterThan(1.5 * unlike.calibrated);
    // The same where calibration had found as much.
    copyFileSync(at('a.onnx'), at('alike.onnx'));
    const plan = JSON.parse(readFileSync(at('a.plan.json'), 'utf8'));
    plan.calibration.error.chosen = unlike.error;
    writeFileSync(at('alike.plan.json'), JSON.stringify(plan));
    task[2] = at('alike.onnx');
    expect(JSON.parse(await ok(...task, '--json'))).not.toHaveProperty('unlike');
  });

  test.skipIf(noModels)(
    'hears what a patched recogniser hears',
    async () => {
      const encoder = modelFile('moonshine-tiny/onnx/encoder_model.onnx');
      const out = await ok(
        'linearize',
        encoder,
        '-o',
        at('moon.onnx'),
        '--seconds',
        '5',
        '--budget',
        '104',
        '--no-heal',
      );
      expect(out).toContain('3 sounds of 5 s at 16000 Hz that are built in');
      const speech = join(modelFile('.'), '..', 'data', 'speech', 'sense_and_sensibility_01_austen_64kb-0930.wav');
      const task = ['verify', encoder, at('moon.onnx'), '--task', 'transcription', '--data'];
      const { figures, transcripts } = JSON.parse(await ok(...task, speech, '--json'));
      expect(transcripts[0].reference.trim()).toBe('he might even have been made amiable himself');
      expect(transcripts[0].patched).toBe('He might even have been made amiable himself.');
      expect(figures.map(({ value }: { value: number }) => value)).toEqual([0, 0, 0]);
      const seen = await performers(...task, 'assets/default-data/audio');
      expect(seen.stderr).toMatch(/PF501 {2}the patched model was calibrated on .*0870\.wav/);
    },
    300_000,
  );
});

describe('data that is not fit is refused', () => {
  const refused = async (...args: string[]) => {
    const { code, stdout, stderr } = await performers(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^PF\d+ {2}.*\n {2}at .*\n {2}mend /);
    return stderr.replaceAll(scratch, '…').replaceAll(root, './').trim();
  };
  const calibrate = (model: string, ...more: string[]) => refused('linearize', model, '-o', at('no.onnx'), ...more);
  const bert = graphFile('bert.optimum-eager.onnx');
  const bart = graphFile('bart-decoder-merged.optimum-eager.onnx');

  test.each([
    ['text for a model of images', vit, 'LICENSE.txt', 'this model takes no text'],
    ['sound for a model of images', vit, 'tone.wav', 'this model takes no sound'],
    ['images for a model of text', bert, 'picture.png', 'this model takes no images'],
    ['text for a decoder beside an encoder', bart, 'LICENSE.txt', 'reads the states of an encoder beside text'],
    ['a kind that is not known', bert, 'data.csv', 'is neither text'],
    ['no file', bert, 'nowhere.txt', 'PF107'],
  ])('%s', async (_, model, file, message) => {
    writeFileSync(at('LICENSE.txt'), 'some text');
    writeFileSync(at('data.csv'), '1,2');
    writeFileSync(at('picture.png'), '');
    writeFileSync(at('tone.wav'), '');
    expect(await calibrate(model, '--data', at(file))).toContain(message);
  });

  test('a folder with nothing in it, and files of two kinds', async () => {
    mkdirSync(at('empty'));
    expect(await calibrate(vit, '--data', at('empty'))).toContain('must be of one kind, got nothing in it');
    expect(await calibrate(vit, '--data', at('LICENSE.txt'), at('picture.png'))).toContain('got text and images');
  });

  test('too few images', async () => {
    const photos = ['astronaut.png', 'coffee.png'].map((name) => `models/vit-s14-saliency/samples/${name}`);
    expect(await calibrate(vit, '--size', '112', '--data', ...photos)).toMatchInlineSnapshot(`
      "PF501  calibration needs at least 3 inputs, got 2
        at   calibration data
        mend give more, or longer, data: 8 to 64 inputs of the length you will use; a third of them is held out"
    `);
  });

  test('inputs of nothing but padding', async () => {
    const line = bertLine(5, 0);
    writeFileSync(at('padding.jsonl'), `${line}\n${line}\n${line}\n`);
    expect(await calibrate(bert, '--data', at('padding.jsonl'))).toMatchInlineSnapshot(`
      "PF501  an input is nothing but padding: no token of it may be seen
        at   calibration data
        mend give inputs whose attention_mask is 1 where there is text"
    `);
  });

  test('a budget that no choice meets: says the nearest that does', async () => {
    writeFileSync(at('ids.jsonl'), [1, 2, 3].map((id) => bertLine(id)).join('\n'));
    const message = await calibrate(bert, '--data', at('ids.jsonl'), '--budget', '5', '--keep', '0', '--no-heal');
    expect(message).toMatch(
      /^PF503 .*\n {2}at {3}budget 5, .*\n {2}mend possible: \d+ key equivalents at a predicted error of/,
    );
  });

  test('a way to heal that there is not', async () => {
    const { code, stderr } = await performers('linearize', bert, '-o', at('no.onnx'), '--heal', 'gain,magic');
    expect(code).toBe(2);
    expect(stderr).toContain("'magic' is no way to heal; they are gain, mlp, transfer, distill, subspace.");
  });

  test('a model of no known kind has no built-in data', async () => {
    const model = graphFile('einsum-attention.dynamo18.onnx');
    expect(await calibrate(model, '--budget', '100')).toContain('there is no built-in data for this model');
  });

  test('a plan file of another model', async () => {
    expect(await calibrate(bert, '--plan-file', at('a.plan.json'))).toMatchInlineSnapshot(`
      "PF502  the plan was made for another model: it has 12 sites, this model 2
        at   plan
        mend calibrate this model: performers linearize MODEL -o OUT --budget 176 --data FILE"
    `);
  });

  test('a plan, and a calibration that would choose it', async () => {
    expect(await calibrate(bert, '--budget', '100', '--plan', 'window')).toMatchInlineSnapshot(`
      "PF202  --budget chooses a plan for every head, and --plan names them
        at   --plan
        mend leave one of the two out; the plan file that calibration writes can be edited by hand"
    `);
  });

  test('candidates that are no plans, that are exact, or beside a plan', async () => {
    expect(await calibrate(bert, '--candidates', 'feature:m=8')).toContain(
      "PF201  unknown plan 'feature'; did you mean 'features'?",
    );
    expect(await calibrate(bert, '--candidates', 'features:m=0')).toContain(
      'PF202  m must be an integer from 1 to 8192, got 0',
    );
    expect(await calibrate(bert, '--candidates', 'features:m=8', '--plan', 'window')).toContain(
      'PF202  --candidates chooses a plan for every head, and --plan names them',
    );
    expect(await calibrate(vit, '--candidates', 'exact-blocked', ...small)).toMatchInlineSnapshot(`
      "PF202  exact-blocked is no candidate: a head may be exact in any case
        at   candidates
        mend leave it out; \`keep\` (--keep) says how many heads may stay exact"
    `);
  });

  test('the photos that it was calibrated on, for verify', async () => {
    const photos = ['--task', 'dense', '--data', 'assets/default-data/images'];
    expect(await refused('verify', vit, at('a.onnx'), ...photos)).toContain(
      'the patched model was calibrated on acanthus-mollis.jpg',
    );
  });
});
