/** Speech to text by unmodified transformers.js, the decoder of an encoder–decoder keeping a state in both branches of its If. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import { afterAll, expect, test } from 'vitest';
import { readSound } from '../../src/adapters/audio.node.js';
import { linearize } from '../../src/linearize.js';
import { dataFile, modelFile, noModels } from '../shared.js';

const name = 'moonshine-tiny';
const scratch = mkdtempSync(join(tmpdir(), 'performers-speech-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The model's folder with another decoder in it. */
function folder(kind: string, decoder: Uint8Array): string {
  const root = join(scratch, kind, name);
  mkdirSync(join(root, 'onnx'), { recursive: true });
  for (const file of readdirSync(modelFile(name)).filter((file) => file.endsWith('.json')))
    copyFileSync(modelFile(`${name}/${file}`), join(root, file));
  copyFileSync(modelFile(`${name}/onnx/encoder_model.onnx`), join(root, 'onnx/encoder_model.onnx'));
  writeFileSync(join(root, 'onnx/decoder_model_merged.onnx'), decoder);
  return join(scratch, kind);
}

async function transcripts(localModelPath: string, sounds: readonly Float32Array[]): Promise<string[]> {
  Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: `${localModelPath}/` });
  const speech = await pipeline('automatic-speech-recognition', name, { dtype: 'fp32', device: 'cpu' });
  const texts: string[] = [];
  for (const sound of sounds) texts.push([await speech(sound, { max_new_tokens: 48 })].flat()[0].text);
  await speech.dispose();
  return texts;
}

test.skipIf(noModels)(
  'moonshine hears what it heard; a plan of another kind does not',
  async () => {
    const original = new Uint8Array(readFileSync(modelFile(`${name}/onnx/decoder_model_merged.onnx`)));
    const sounds = [await readSound(dataFile('speech/sense_and_sensibility_01_austen_64kb-0880.wav'), 16_000)];
    const want = await transcripts(folder('original', original), sounds);
    expect(want.join(' ').split(' ').length).toBeGreaterThan(6);
    const heard: Record<string, string[]> = {};
    const plans = {
      wide: 'hybrid-causal:window=128,globals=0,sinks=0,codes=0',
      other: 'features-causal:window=0,m=8',
    };
    for (const [kind, plan] of Object.entries(plans)) {
      const { bytes, report } = await linearize(original, { plan });
      const kept = report.sites.filter(({ plans }) => plans[0].plan.startsWith(plan.split(':')[0]));
      // Six layers, each in two branches.
      expect(kept).toHaveLength(12);
      expect(kept.filter(({ cache }) => cache).map(({ cache }) => cache?.perToken)).toEqual([0, 0, 0, 0, 0, 0]);
      heard[kind] = await transcripts(folder(kind, bytes), sounds);
    }
    expect(heard.wide).toEqual(want);
    expect(heard.other).not.toEqual(want);
  },
  300_000,
);
