import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { dataFolders } from '../../../src/node/datasets/dataset.js';
import { loadDataset } from '../../../src/node/datasets/registry.js';
import { scratchFolder } from '../../cli/performers.js';

const scratch = scratchFolder();
let count = 0;
/** A data folder that holds `files`. */
function folderWith(files: Record<string, string | Uint8Array>): string {
  const folder = join(scratch, String(count++));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

const letter = 'uci/letter-recognition.data';
const numbers = Array.from({ length: 16 }, (_, i) => i).join(',');
const eeg = 'uci/EEG_Eye_State.arff';
const reading = Array.from({ length: 14 }, (_, i) => 4000 + i / 2).join(',');
const images = 'mnist/t10k-images-idx3-ubyte.gz';
const digits = 'mnist/t10k-labels-idx1-ubyte.gz';
const idx = (dims: number[], data: number[]) =>
  gzipSync(Uint8Array.from([0, 0, 8, dims.length, ...dims.flatMap((dim) => [0, 0, 0, dim]), ...data]));

describe('readers', () => {
  it('letter: rows of a letter and 16 numbers, with or without a header, CRLF or LF, the last line unfinished', async () => {
    for (const text of [`A,${numbers}\nZ,${numbers}`, `Letter,1,2\r\nA,${numbers}\r\nZ,${numbers}\r\n`]) {
      const set = await loadDataset('letter', folderWith({ [letter]: text }));
      expect(set).toMatchObject({ name: 'letter', n: 2, d: 16, classes: 26 });
      expect(Array.from(set.labels)).toEqual([0, 25]);
      expect(Array.from(set.x.subarray(16, 20))).toEqual([0, 1, 2, 3]);
    }
  });

  it('eeg: what follows @DATA', async () => {
    const set = await loadDataset(
      'eeg',
      folderWith({ [eeg]: `@RELATION x\r\n@ATTRIBUTE a NUMERIC\r\n@DATA\r\n${reading},1\r\n${reading},0` }),
    );
    expect(set).toMatchObject({ n: 2, d: 14, classes: 2 });
    expect(Array.from(set.labels)).toEqual([1, 0]);
    expect(set.x[1]).toBe(4000.5);
  });

  it('mnist: IDX files, bytes to [0, 1]', async () => {
    const set = await loadDataset(
      'mnist',
      folderWith({ [images]: idx([2, 2, 2], [0, 255, 51, 0, 1, 2, 3, 4]), [digits]: idx([2], [7, 3]) }),
    );
    expect(set).toMatchObject({ n: 2, d: 4 });
    expect(Array.from(set.x.subarray(0, 3))).toEqual([0, 1, 0.2]);
    expect(Array.from(set.labels)).toEqual([7, 3]);
  });
});

describe('damaged files', () => {
  const cases: [string, Record<string, string | Uint8Array>, string][] = [
    ['letter', { [letter]: '' }, 'the file has no rows'],
    ['letter', { [letter]: `A,${numbers},1` }, 'a row is a letter and 16 numbers'],
    ['letter', { [letter]: `A,${numbers.replace('15', 'x')}` }, "'x' is no number"],
    ['eeg', { [eeg]: reading }, 'has a line @DATA, this one has none'],
    ['eeg', { [eeg]: `@DATA\n${reading},2` }, 'a row is 14 numbers and 0 or 1'],
    ['eeg', { [eeg]: `@DATA\n${reading},NaN` }, "'NaN' is no number"],
    ['usps', { 'uci/usps.t.bz2': 'no bzip2' }, 'the file is no bzip2 stream'],
    ['usps', { 'uci/usps.t.bz2': 'BZh9' }, 'the bzip2 stream ends too early'],
    ['mnist', { [images]: 'no gzip', [digits]: idx([1], [1]) }, 'the file is no whole gzip stream'],
    ['mnist', { [images]: idx([2], [1, 2]), [digits]: idx([1], [1]) }, 'no IDX file of bytes in 3 dimensions'],
    ['mnist', { [images]: idx([1, 1, 2], [1]), [digits]: idx([1], [1]) }, '1 x 1 x 2 bytes are promised, 1 are there'],
    ['mnist', { [images]: idx([1, 1, 1], [1]), [digits]: idx([2], [1, 2]) }, 'there are 1 images and 2 labels'],
    ['mnist', { [images]: idx([1, 1, 1], [1]), [digits]: idx([1], [10]) }, 'labels are 0 to 9, label 0 is 10'],
    ['cifar10', { 'cifar10/cat/note.txt': '' }, "the folder of the class 'airplane' is not there"],
  ];
  it.each(cases)('%s %#', async (name, files, message) => {
    await expect(loadDataset(name, folderWith(files))).rejects.toThrow(`PF429`);
    await expect(loadDataset(name, folderWith(files))).rejects.toThrow(message);
  });

  it('mnist without labels is missing a file, and says which', async () => {
    await expect(loadDataset('mnist', folderWith({ [images]: idx([1, 1, 1], [1]) }))).rejects.toThrow(
      /PF428[\s\S]*t10k-labels-idx1-ubyte.gz/,
    );
  });
});

describe('missing data', () => {
  it('say what, where it was sought and where to get it', async () => {
    const folder = folderWith({ 'other.txt': '' });
    const error = await loadDataset('usps', folder).catch((caught) => caught);
    expect(error.message).toContain("PF428  data set 'usps' is missing: uci/usps.t.bz2 was not found");
    expect(error.at).toBe(join(folder, 'uci/usps.t.bz2'));
    expect(error.mend).toContain('--data-dir or PERFORMERS_DATA');
  });

  it('name the near name', async () => {
    await expect(loadDataset('leter')).rejects.toThrow("did you mean 'letter'?");
  });

  it('are sought in the folder given, then in PERFORMERS_DATA, then nearby', () => {
    expect(dataFolders('/a')).toEqual(['/a']);
    const before = process.env.PERFORMERS_DATA;
    process.env.PERFORMERS_DATA = '/b';
    expect(dataFolders()).toEqual(['/b']);
    delete process.env.PERFORMERS_DATA;
    expect(dataFolders()).toHaveLength(2);
    if (before !== undefined) process.env.PERFORMERS_DATA = before;
  });
});

describe('bzip2', async () => {
  const { bunzip2 } = await import('../../../src/node/datasets/bzip2.js');
  // Written once by bzip2 1.0.8: "hello hello hello\n", and 300 times the letter a.
  const hello = Buffer.from('QlpoOTFBWSZTWeW18wkAAARRAAAQQAACRKAAIbUYDAKQacKjC7kinChIctr5hIA=', 'base64');
  const runs = Buffer.from('QlpoOTFBWSZTWadK4RsAAAKRAIAgIAAACCAAIKptQZjFR4u5IpwoSFOlcI2A', 'base64');

  it('reads blocks, runs, and streams that follow one another', () => {
    expect(new TextDecoder().decode(bunzip2(hello, 'x'))).toBe('hello hello hello\n');
    expect(new TextDecoder().decode(bunzip2(runs, 'x'))).toBe('a'.repeat(300));
    expect(new TextDecoder().decode(bunzip2(Buffer.concat([runs, hello]), 'x'))).toBe(
      `${'a'.repeat(300)}hello hello hello\n`,
    );
  });

  it('refuses every single bit that changed, and every cut', () => {
    for (let bit = 0; bit < hello.length * 8; bit++) {
      const changed = Uint8Array.from(hello, (byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit % 8)) : byte));
      // Padding after the last checksum carries nothing, and the block size is only a limit.
      let text = '';
      try {
        text = new TextDecoder().decode(bunzip2(changed, 'x'));
      } catch (error) {
        expect(error).toMatchObject({ code: 'PF429' });
        continue;
      }
      expect(text).toBe('hello hello hello\n');
    }
    for (let length = 0; length < hello.length; length++)
      expect(() => bunzip2(hello.subarray(0, length), 'x')).toThrow('PF429');
  });
});
