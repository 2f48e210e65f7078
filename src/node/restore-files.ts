import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { PerformersError } from '../errors.js';
import { type Report, restoreChunks } from '../linearize.js';
import {
  type Chunks,
  checkTarget,
  reportName,
  type WriteOptions,
  writeChunks,
  writeFilesAtomic,
  writeFolderAtomic,
} from './atomic-write.js';
import { isRecord } from './input-file.js';
import { onDisk, openModelBytes } from './model-bytes.js';
import { openPath, readBytes } from './model-folder.js';

/**
 * Brings back the originals of a linearized file or folder from its report.
 *
 * @returns the files restored
 * @throws PerformersError PF101–PF108, PF202 (no report), PF205 (a report of something else)
 */
export async function restoreFiles(
  patched: string,
  reportFile: string,
  output: string,
  options: WriteOptions = {},
): Promise<string[]> {
  const source = await openPath(patched);
  const reports = await readReports(reportFile);
  await checkTarget(output, source.kind, options);
  const [model = ''] = source.models;
  if (source.kind === 'file') {
    const report = reports.find(({ file }) => file === model) ?? reports[0];
    if (!report) throw notReport(reportFile);
    const write = (chunks: Chunks) => writeFilesAtomic([{ path: output, chunks }], options);
    await restoreFile(join(source.root, model), report, write);
    return [output];
  }
  const fill = async (folder: string) => {
    for (const file of [...source.models, ...source.others]) {
      const path = join(source.root, file);
      const report = reports.find((entry) => entry.file === file);
      if (report) await restoreFile(path, report, (chunks) => writeChunks(join(folder, file), chunks));
      else if (file !== reportName) await writeChunks(join(folder, file), createReadStream(path));
    }
  };
  await writeFolderAtomic(output, fill, options);
  return reports.map(({ file }) => file);
}

async function restoreFile(path: string, report: Restorable, write: (chunks: Chunks) => Promise<void>): Promise<void> {
  const source = openModelBytes(path);
  try {
    await write(onDisk(source, restoreChunks(source.bytes, report)));
  } finally {
    source.close();
  }
}

type Restorable = Pick<Report, 'file' | 'undo'>;

/** A report as `linearize` writes it, of one file or of a folder. */
async function readReports(path: string): Promise<Restorable[]> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(await readBytes(path)));
  } catch (cause) {
    throw cause instanceof PerformersError ? cause : notReport(path, cause);
  }
  if (!isRecord(json)) throw notReport(path);
  const reports = json.schema === 'performers.reports/1' && Array.isArray(json.files) ? json.files : [json];
  if (!reports.every(isReport)) throw notReport(path);
  return reports;
}

function isReport(value: unknown): value is Restorable {
  return (
    isRecord(value) && value.schema === 'performers.report/1' && typeof value.file === 'string' && isRecord(value.undo)
  );
}

function notReport(path: string, cause?: unknown): PerformersError {
  return new PerformersError('PF202', 'this is no report of performers linearize', {
    at: path,
    mend: `pass the .performers.json or ${reportName} that linearize wrote`,
    cause,
  });
}
