/*
 * Nothing half-written is ever seen under its own name. New content goes to a temporary name in the same folder (so
 * that the last step is a rename within one file system), is flushed to the disk, then renamed. Any error removes the
 * temporary; a kill leaves it, under a hidden name that ends in .partial and holds the process's number, and the next run that writes
 * the same output removes it. A folder that is replaced is moved aside first; killed between the two steps, the run leaves
 * the whole previous folder under a name in .previous, and the next one puts it back before it begins.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { PerformersError } from '../errors.js';

export interface WriteOptions {
  /** Replace what is there, once the new one is complete. Default false. */
  readonly force?: boolean;
}

/** A folder is replaced only when it holds this file, which every folder that we write does. */
export const reportName = 'performers.json';

export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Writes files that belong together: none is seen before all are on the disk. @throws PerformersError PF108 */
export async function writeFilesAtomic(
  files: readonly { readonly path: string; readonly chunks: Chunks }[],
  options: WriteOptions = {},
): Promise<void> {
  const [first, ...rest] = files;
  if (!first) return;
  const fill = async (temporary: string) => {
    await writeChunks(temporary, first.chunks);
    await writeFilesAtomic(rest, options);
  };
  await writeAtomic(first.path, 'file', fill, options);
}

/** Fills a folder. `fill` gets the path of an empty folder to write into. @throws PerformersError PF108 */
export async function writeFolderAtomic(
  path: string,
  fill: (folder: string) => Promise<void>,
  options: WriteOptions = {},
): Promise<void> {
  const make = async (temporary: string) => {
    await mkdir(temporary);
    await fill(temporary);
  };
  await writeAtomic(path, 'folder', make, options);
}

/** Writes chunks one by one to a new file and flushes it to the disk. For use inside writeFolderAtomic. */
export async function writeChunks(path: string, chunks: Chunks): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(path, 'wx');
  try {
    await writeAll(handle, chunks);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Small chunks are gathered: a graph may be thousands of them. A chunk may be overwritten once the next is asked for. */
async function writeAll(handle: FileHandle, chunks: Chunks): Promise<void> {
  const gathered = new Uint8Array(2 ** 20);
  let size = 0;
  const flush = async () => {
    await writeFile(handle, gathered.subarray(0, size));
    size = 0;
  };
  for await (const chunk of chunks) {
    if (size + chunk.byteLength > gathered.byteLength) await flush();
    if (chunk.byteLength > gathered.byteLength / 4) {
      await flush();
      await writeFile(handle, chunk);
    } else {
      gathered.set(chunk, size);
      size += chunk.byteLength;
    }
  }
  await flush();
}

/** @throws PerformersError PF108 when something is at `path` already and is not to be replaced, or is not ours */
export async function checkTarget(path: string, kind: Kind, { force = false }: WriteOptions): Promise<void> {
  const there = await kindOf(path);
  if (!there) return;
  const refuse = (why: string, mend: string) => {
    throw new PerformersError('PF108', `${basename(path)} ${why}`, { at: path, mend });
  };
  if (there !== kind) refuse(`is a ${there}, the output a ${kind}`, 'choose another output');
  if (!force) refuse('is there already', 'choose another output, or replace it with --force');
  if (kind === 'folder' && !(await kindOf(join(path, reportName)))) {
    refuse(`was not written by performers: it has no ${reportName}`, 'choose another output, or remove it yourself');
  }
}
type Kind = 'file' | 'folder';

async function kindOf(path: string): Promise<Kind | undefined> {
  return stat(path).then(
    (info) => (info.isDirectory() ? 'folder' : 'file'),
    () => undefined,
  );
}

async function writeAtomic(
  path: string,
  kind: Kind,
  write: (temporary: string) => Promise<void>,
  options: WriteOptions,
): Promise<void> {
  const target = resolve(path);
  await cleanUp(target).catch((cause) => {
    throw unwritable(target, cause);
  });
  await checkTarget(target, kind, options);
  const temporary = sibling(target, 'partial');
  partial.add(temporary);
  try {
    await mkdir(dirname(target), { recursive: true });
    await write(temporary);
    // A file is replaced in one step. A folder cannot be: the previous one stays, under another name, until it is.
    if (kind === 'file') await rename(temporary, target);
    else await swapFolders(temporary, target);
    await flushFolder(dirname(target));
  } catch (cause) {
    // What went wrong first is what counts; where nothing could be made, nothing can be removed.
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    // An error of what computes the content is not an error of writing it.
    throw cause instanceof PerformersError ? cause : unwritable(target, cause);
  } finally {
    partial.delete(temporary);
  }
}

async function swapFolders(temporary: string, target: string): Promise<void> {
  if (!(await kindOf(target))) return rename(temporary, target);
  const previous = sibling(target, 'previous');
  moved.add(previous);
  try {
    await rename(target, previous);
    await rename(temporary, target).catch(async (cause) => {
      await rename(previous, target);
      throw cause;
    });
    await rm(previous, { recursive: true, force: true });
  } finally {
    moved.delete(previous);
  }
}

/** A rename is on the disk when its folder is. Some systems cannot open folders; there, it is when it is. */
async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

const partial = new Set<string>();
/** Previous folders, aside while the new one takes their place: never removed by removePartial(). */
const moved = new Set<string>();

/** Removes what is being written right now, for use when the process is told to end. */
export function removePartial(): void {
  for (const path of partial) rmSync(path, { recursive: true, force: true });
}

/** Hidden, beside the target, and named after the process: what belongs to none that runs is of one that was killed. */
function sibling(path: string, ending: string): string {
  const unique = `${process.pid}-${randomBytes(4).toString('hex')}`;
  return join(dirname(path), `.${basename(path)}.${unique}.${ending}`);
}

/** Removes what killed runs left of `target`, and puts a folder back that one of them had moved aside. */
async function cleanUp(target: string): Promise<void> {
  const folder = dirname(target);
  const start = `.${basename(target)}.`;
  for (const name of await readdir(folder).catch(() => [])) {
    const rest = name.startsWith(start) ? name.slice(start.length) : '';
    const [, pid, ending] = /^(\d+)-[0-9a-f]{8}\.(partial|previous)$/.exec(rest) ?? [];
    const left = join(folder, name);
    if (pid === undefined || inUse(left, Number(pid))) continue;
    // Where the target is there, the killed run had come to its end but for this.
    if (ending === 'previous' && !(await kindOf(target))) await rename(left, target);
    else await rm(left, { recursive: true, force: true });
  }
}

/** A number comes back after a restart, in containers the same one every time: our own counts where we know the path. */
function inUse(path: string, pid: number): boolean {
  if (pid === process.pid) return partial.has(path) || moved.has(path);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // A process of somebody else's is one.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function unwritable(path: string, cause: unknown): PerformersError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const full = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
  return new PerformersError('PF108', `${basename(path)} could not be written: ${reason}`, {
    at: path,
    mend: full
      ? 'make room, or write to another disk; nothing was left behind'
      : 'check that the folder may be written to; nothing was left behind',
    cause,
  });
}
