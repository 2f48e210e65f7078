/** Nothing half-written: whatever goes wrong, the folder is as it was. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  reportName,
  type WriteOptions,
  writeChunks,
  writeFilesAtomic,
  writeFolderAtomic,
} from '../../src/node/atomic-write.js';
import { listing, scratchFolder } from '../cli/performers.js';

const scratch = scratchFolder();
const bytes = (text: string) => new TextEncoder().encode(text);
let made = 0;

function folder(files: Record<string, string> = {}): string {
  const path = join(scratch, String(made++));
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(path, name, '..'), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return path;
}

/** Some bytes, then what a full disk says. */
function* disk(full: boolean): Generator<Uint8Array> {
  yield bytes('half');
  if (full) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  yield bytes(' and half');
}

function writeFile(path: string, chunks: Iterable<Uint8Array>, options?: WriteOptions): Promise<void> {
  return writeFilesAtomic([{ path, chunks }], options);
}

async function messageOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error('nothing was thrown'),
    (reason: Error) => reason,
  );
  return error.message.replaceAll(scratch, '…');
}

describe('a file', () => {
  test('is written whole, its folder made', async () => {
    const path = join(folder(), 'a/b.onnx');
    await writeFile(path, disk(false));
    expect(readFileSync(path, 'utf8')).toBe('half and half');
  });

  test('is not written when the disk is full, and the previous one stays', async () => {
    const home = folder({ 'b.onnx': 'previous' });
    const before = listing(home);
    expect(await messageOf(writeFile(join(home, 'b.onnx'), disk(true), { force: true }))).toMatchInlineSnapshot(`
      "PF108  b.onnx could not be written: ENOSPC: no space left on device, write
        at   …/1/b.onnx
        mend make room, or write to another disk; nothing was left behind"
    `);
    expect(listing(home)).toEqual(before);
  });

  test('does not replace another, unless told to', async () => {
    const home = folder({ 'b.onnx': 'previous' });
    const before = listing(home);
    expect(await messageOf(writeFile(join(home, 'b.onnx'), disk(false)))).toMatchInlineSnapshot(`
      "PF108  b.onnx is there already
        at   …/2/b.onnx
        mend choose another output, or replace it with --force"
    `);
    expect(listing(home)).toEqual(before);
    await writeFile(join(home, 'b.onnx'), disk(false), { force: true });
    expect(Object.keys(listing(home))).toEqual(['b.onnx']);
    expect(readFileSync(join(home, 'b.onnx'), 'utf8')).toBe('half and half');
  });

  test('does not replace a folder', async () => {
    const home = folder({ 'b/precious.txt': 'x' });
    const before = listing(home);
    expect(await messageOf(writeFile(join(home, 'b'), disk(false), { force: true }))).toMatchInlineSnapshot(`
      "PF108  b is a folder, the output a file
        at   …/3/b
        mend choose another output"
    `);
    expect(listing(home)).toEqual(before);
  });

  test('says what the system said where it may not write', async () => {
    const home = folder({ 'file.txt': 'no folder' });
    expect(await messageOf(writeFile(join(home, 'file.txt/b.onnx'), disk(false)))).toMatchInlineSnapshot(
      `
      "PF108  b.onnx could not be written: EEXIST: file already exists, mkdir '…/4/file.txt'
        at   …/4/file.txt/b.onnx
        mend check that the folder may be written to; nothing was left behind"
    `,
    );
  });
});

test('files that belong together appear together', async () => {
  const home = folder({ 'a.onnx': 'previous' });
  const before = listing(home);
  const files = (full: boolean) => [
    { path: join(home, 'a.onnx'), chunks: disk(false) },
    { path: join(home, 'b.json'), chunks: disk(full) },
  ];
  await expect(writeFilesAtomic(files(true), { force: true })).rejects.toThrow('b.json could not be written');
  expect(listing(home)).toEqual(before);
  await writeFilesAtomic(files(false), { force: true });
  expect(Object.keys(listing(home))).toEqual(['a.onnx', 'b.json']);
});

describe('a folder', () => {
  const fill = (full: boolean) => async (path: string) => {
    await writeChunks(join(path, reportName), [bytes('{}')]);
    await writeChunks(join(path, 'onnx/model.onnx'), disk(full));
  };

  test('appears whole or not at all', async () => {
    const home = folder();
    await expect(writeFolderAtomic(join(home, 'out'), fill(true))).rejects.toThrow('PF108');
    expect(listing(home)).toEqual({});
    await writeFolderAtomic(join(home, 'out'), fill(false));
    expect(Object.keys(listing(home))).toEqual(['out/onnx/model.onnx', 'out/performers.json']);
  });

  test('replaces only what we wrote, and keeps it when that fails', async () => {
    const home = folder({ 'ours/performers.json': '{}', 'ours/old.txt': 'old', 'theirs/thesis.txt': 'x' });
    const before = listing(home);
    const theirs = writeFolderAtomic(join(home, 'theirs'), fill(false), { force: true });
    expect(await messageOf(theirs)).toMatchInlineSnapshot(`
      "PF108  theirs was not written by performers: it has no performers.json
        at   …/7/theirs
        mend choose another output, or remove it yourself"
    `);
    await expect(writeFolderAtomic(join(home, 'ours'), fill(true), { force: true })).rejects.toThrow('ENOSPC');
    expect(listing(home)).toEqual(before);
    await writeFolderAtomic(join(home, 'ours'), fill(false), { force: true });
    expect(Object.keys(listing(home))).toEqual(['ours/onnx/model.onnx', 'ours/performers.json', 'theirs/thesis.txt']);
  });
});

describe('what a killed run left', () => {
  // A process that was and is no more.
  const { pid = 0 } = spawnSync(process.execPath, ['-e', '']);

  test('is removed by the next run, and nothing else is', async () => {
    const home = folder({
      [`.b.onnx.${pid}-00000000.partial`]: 'half',
      [`.b.onnx.${process.ppid}-00000000.partial`]: 'of one that still writes',
      [`.c.onnx.${pid}-00000000.partial`]: 'of another output',
      '.b.onnx.notes.partial': 'no name of ours',
    });
    const before = Object.keys(listing(home));
    await writeFile(join(home, 'b.onnx'), disk(false));
    const gone = before.filter((name) => name === `.b.onnx.${pid}-00000000.partial`);
    expect(gone).toHaveLength(1);
    expect(Object.keys(listing(home)).sort()).toEqual(
      [...before.filter((name) => !gone.includes(name)), 'b.onnx'].sort(),
    );
  });

  test('a folder moved aside is put back where its place is empty', async () => {
    const home = folder({ [`.out.${pid}-00000000.previous/performers.json`]: 'previous' });
    await expect(writeFolderAtomic(join(home, 'out'), async () => undefined)).rejects.toThrow('is there already');
    expect(Object.keys(listing(home))).toEqual(['out/performers.json']);
  });

  test('and removed where the new one is there', async () => {
    const home = folder({
      [`.out.${pid}-00000000.previous/performers.json`]: 'previous',
      'out/performers.json': 'new',
    });
    await expect(writeFolderAtomic(join(home, 'out'), async () => undefined)).rejects.toThrow('is there already');
    expect(readFileSync(join(home, 'out/performers.json'), 'utf8')).toBe('new');
    expect(Object.keys(listing(home))).toEqual(['out/performers.json']);
  });
});

test('a folder that may not be written to', async () => {
  const home = folder({ 'b.onnx': 'previous' });
  chmodSync(home, 0o555);
  // Root may write anywhere; for this once it is nobody.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    chmodSync(scratch, 0o755);
    process.seteuid?.(65534);
  }
  const message = await messageOf(writeFile(join(home, 'b.onnx'), disk(false), { force: true }));
  if (isRoot) process.seteuid?.(0);
  chmodSync(home, 0o755);
  expect(message).toMatch(/^PF108 .*EACCES/);
  expect(readFileSync(join(home, 'b.onnx'), 'utf8')).toBe('previous');
});
