import { count, likeness, memory, percent, ratio, time } from './format.js';
import type { DemoPlan } from './plans.js';
import type { Row } from './row.js';
import type { Verdict } from './verdict.js';

/** Select Graphic Rendition of a terminal. */
const codes = { bold: '1', dim: '2', alarm: '1;31', green: '32', yellow: '33', magenta: '35' };
type Style = keyof typeof codes;

export type Paint = (style: Style, text: string) => string;

export const plain: Paint = (_style, text) => text;
export const coloured: Paint = (style, text) => `\u001b[${codes[style]}m${text}\u001b[0m`;

export const styles: Record<Verdict, Style> = {
  'as published': 'dim',
  'same answer': 'green',
  close: 'yellow',
  'another model': 'alarm',
  'no original': 'dim',
  failed: 'magenta',
  skipped: 'dim',
};

const columns = [
  { title: 'px', width: 5 },
  { title: 'tokens', width: 7 },
  { title: 'plan', width: 22, left: true },
  { title: 'time', width: 8 },
  { title: 'of orig.', width: 9 },
  { title: 'peak MB', width: 8 },
  { title: 'map corr.', width: 10 },
  { title: 'map error', width: 10 },
  { title: 'token cos', width: 10 },
  { title: 'verdict', width: 0, left: true },
];

export function header(paint: Paint): string {
  return paint('dim', line(columns.map(({ title }) => title)));
}

export function planList(plans: readonly DemoPlan[], paint: Paint): string {
  const widest = Math.max(...plans.map(({ label }) => label.length));
  return plans.map(({ label, what }) => `  ${label.padEnd(widest)}   ${paint('dim', what)}`).join('\n');
}

/** The first row of a size carries it, after a blank line; the first that ran, the number of tokens. */
export function tableRow(row: Row, before: readonly Row[], paint: Paint): string {
  const { px, plan, verdict, reason, figures } = row;
  const above = before.filter((other) => other.px === px);
  const first = above.length === 0;
  const tokens = above.some((other) => other.figures) ? undefined : figures?.tokens;
  const cells = [
    first ? String(px) : '',
    tokens ? count(tokens) : '',
    plan.label,
    time(figures?.ms),
    figures && plan.options ? ratio(figures.timeRatio) : '',
    memory(figures?.peakMB),
    ...(figures && !plan.options
      ? ['', '', '']
      : [likeness(figures?.correlation), percent(figures?.error), likeness(figures?.tokenCosine)]),
  ];
  const words = `${verdict}${reason ? `: ${reason}` : ''}`;
  return `${first ? '\n' : ''}${line(cells)}  ${paint(styles[verdict], words)}`;
}

function line(cells: readonly string[]): string {
  return cells
    .map((cell, i) => {
      const { width, left } = columns[i] ?? { width: 0 };
      return left ? `  ${cell.padEnd(width)}` : cell.padStart(width);
    })
    .join('')
    .trimEnd();
}
