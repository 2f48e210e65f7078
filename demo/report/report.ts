import { basename } from 'node:path';
import { conclusions } from '../conclusions.js';
import type { Machine } from '../machine.js';
import type { Runtime } from '../measurement.js';
import type { Row } from '../row.js';
import { thresholds } from '../verdict.js';
import { renderPage } from './page.js';
import { mapPicture, type Picture, photoPicture, rangeOf } from './pictures.js';

/** All that a run found out. */
export interface Findings {
  readonly rows: readonly Row[];
  readonly machine: Machine;
  /** The command that gives the run again. */
  readonly command: string;
  /** Path of the photo. */
  readonly image: string;
  readonly model: string;
  /** Number of attention layers. */
  readonly sites: number;
  readonly runtime: Runtime;
  /** Measurements that ran at a time. */
  readonly atOnce: number;
  readonly seconds: number;
}

/** Files of the report by name. */
export async function writeReport(findings: Findings): Promise<Record<'report.html' | 'report.json', string>> {
  const date = new Date();
  const photo = await photoPicture(findings.image);
  const page = renderPage({ ...findings, photo, maps: await drawMaps(findings.rows, photo), date });
  return { 'report.html': page, 'report.json': `${JSON.stringify(figuresOf(findings, date), null, 2)}\n` };
}

/** Every map of a size in the colours of the original's range there, so that they can be compared. */
async function drawMaps(rows: readonly Row[], photo: Picture): Promise<Map<Row, Picture>> {
  const pictures = new Map<Row, Picture>();
  for (const row of rows) {
    const reference = rows.find((other) => other.px === row.px && other.map);
    if (row.map && reference?.map) pictures.set(row, await mapPicture(row.map, photo, rangeOf(reference.map)));
  }
  return pictures;
}

function figuresOf(
  { rows, machine, command, image, model, sites, runtime, atOnce, seconds }: Findings,
  date: Date,
): object {
  return {
    schema: 'performers.demo/1',
    date: date.toISOString(),
    command,
    seconds,
    machine,
    model,
    attentionLayers: sites,
    image: basename(image),
    runtime,
    threads: 1,
    measurementsAtOnce: atOnce,
    thresholds,
    rows: rows.map(({ map: _, plan, figures, ...row }) => ({ ...row, plan: plan.text, ...figures })),
    conclusions: conclusions(rows).map(({ plan, verdict, text }) => ({ plan: plan.text, verdict, text })),
  };
}
