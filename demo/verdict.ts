/** What a plan's map is worth, in words. */
export type Verdict = 'as published' | 'same answer' | 'close' | 'another model' | 'no original' | 'failed' | 'skipped';

/** Least correlation with the original's map, and largest relative RMS error of it. */
export const thresholds = {
  'same answer': { correlation: 0.999, error: 0.02 },
  close: { correlation: 0.95, error: 0.25 },
} as const;

export function judge({ correlation, error }: { readonly correlation: number; readonly error: number }): Verdict {
  const holds = (name: keyof typeof thresholds) =>
    correlation >= thresholds[name].correlation && error <= thresholds[name].error;
  if (holds('same answer')) return 'same answer';
  return holds('close') ? 'close' : 'another model';
}

/** The thresholds in a sentence. */
export function verdictRule(): string {
  const words = Object.entries(thresholds).map(
    ([name, { correlation, error }]) => `'${name}' from correlation ${correlation} and up to ${error * 100} % error`,
  );
  return `${words.join(', ')}, otherwise 'another model'`;
}
