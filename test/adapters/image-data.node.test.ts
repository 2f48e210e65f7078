/** Photos at several sizes: what is held out at one of them is held out at all. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readCalibrationData } from '../../src/adapters/calibration-data.node.js';
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import type { Feeds } from '../../src/session.js';
import { scratchFolder } from '../cli/performers.js';

const root = 'models/vit-s14-saliency';
const path = join(root, 'onnx/model.onnx');
const model = openModel(decode(new Uint8Array(readFileSync(path))));
const folder = scratchFolder();
const photos = ['astronaut.png', 'chelsea.png', 'coffee.png', 'rocket.jpg'].map((name) => join(root, 'samples', name));
/** Five files, the last one a copy under another name. */
const five = [...photos, join(folder, 'zebra.png')];
cpSync(photos[0], five[4]);

const read = (files: readonly string[], size?: number | number[]) => readCalibrationData(model, path, files, { size });
const sides = (feeds: readonly Feeds[]) => feeds.map(({ pixel_values: { dims } }) => dims.slice(2));
const pixels = ({ pixel_values: { data } }: Feeds) => data;

it('are all photos at every size, as many as three divides, and the others at the first', async () => {
  const { feeds, what } = await read(five, [56, 84]);
  expect(what).toBe('8 images of 56 × 56, 84 × 84 pixels');
  expect(sides(feeds)).toEqual([56, 56, 56, 84, 84, 84, 56, 56].map((side) => [side, side]));
  const [small, large] = [await read(photos.slice(0, 3), 56), await read(photos.slice(0, 3), 84)];
  // Every third is held out: 0 to 2 and 3 to 5 are the same photos, in the same order.
  expect(feeds.slice(0, 3).map(pixels)).toEqual(small.feeds.map(pixels));
  expect(feeds.slice(3, 6).map(pixels)).toEqual(large.feeds.map(pixels));
});

it('are each photo once at one size, and at the processor’s own without', async () => {
  expect(sides((await read(five, 56)).feeds)).toEqual(five.map(() => [56, 56]));
  const { feeds, what } = await read(photos);
  expect(what).toBe('4 images of 224 × 224 pixels');
  expect(sides(feeds)).toEqual(photos.map(() => [224, 224]));
});

it('are what the model takes of a folder, which may hold notes on them; files named one by one must all be photos', async () => {
  const notes = join(folder, 'notes');
  mkdirSync(notes);
  for (const [i, photo] of photos.entries()) cpSync(photo, join(notes, `${i}.png`));
  writeFileSync(join(notes, 'licence.txt'), 'public domain');
  const { feeds, what, sources } = await read([notes], 56);
  expect(what).toBe('4 images of 56 × 56 pixels (files of other kinds beside them: 1)');
  expect(sources.map(({ file }) => file)).toEqual(['0.png', '1.png', '2.png', '3.png']);
  expect(feeds.map(pixels)).toEqual((await read(photos, 56)).feeds.map(pixels));
  await expect(read([...photos, join(notes, 'licence.txt')])).rejects.toThrow('got images and text');
  // What any model takes could be meant, too.
  writeFileSync(join(notes, 'inputs.jsonl'), '{}');
  await expect(read([notes])).rejects.toThrow('must be of one kind');
});
