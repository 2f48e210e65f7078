/** Text with a row a line. */
import { damaged } from './dataset.js';

/** Lines that are not empty, with their numbers from 1. */
export function numberedLines(text: string): { readonly line: string; readonly number: number }[] {
  return text.split(/\r?\n/).flatMap((line, i) => (line.trim() === '' ? [] : { line, number: i + 1 }));
}

/** @throws PerformersError PF429 unless `text` is a finite number */
export function toNumber(text: string, at: string, line: number): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw damaged(`${at}:${line}`, `'${text}' is no number`);
}
