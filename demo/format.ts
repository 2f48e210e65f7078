/** Numbers as the table and the page show them. A missing one is a dash. */

export function time(ms: number | undefined): string {
  if (ms === undefined) return '–';
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

export function ratio(value: number | undefined): string {
  return value === undefined ? '–' : `${value.toFixed(2)} ×`;
}

export function memory(MB: number | undefined): string {
  return MB === undefined ? '–' : Math.round(MB).toLocaleString('en');
}

/** Correlations and cosines, a fourth digit where three would make them 1. */
export function likeness(value: number | undefined): string {
  if (value === undefined) return '–';
  return value.toFixed(value >= 0.9995 && value < 0.99995 ? 4 : 3).replace('0.', '.');
}

export function percent(value: number | undefined): string {
  if (value === undefined) return '–';
  if (value > 0 && value < 0.0005) return '<0.1 %';
  return `${(value * 100).toFixed(value < 0.0995 ? 1 : 0)} %`;
}

export function count(value: number | undefined): string {
  return value === undefined ? '–' : value.toLocaleString('en');
}

/** '1:07' */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
