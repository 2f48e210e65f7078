import { type ErrorCode, errorCodes, PerformersError } from '../errors.js';

/** An error as JSON: what `--json` prints, and what a worker sends to its parent. */
export interface ErrorRecord {
  /** Absent for what is not a PerformersError: a fault of this program. */
  readonly code?: ErrorCode;
  readonly message: string;
  readonly at?: string;
  readonly mend?: string;
}

export function recordError(error: unknown): ErrorRecord {
  if (!isPerformersError(error)) return { message: error instanceof Error ? error.message : String(error) };
  const { code, at, mend, message } = error;
  const [first = ''] = message.split('\n  at   ').join('\n  mend ').split('\n  mend ');
  return { code, message: first.slice(code.length).trim(), at, mend };
}

/** By its code rather than its class: it may come from another copy of this package. */
function isPerformersError(error: unknown): error is PerformersError {
  return (
    error instanceof Error && error.name === 'PerformersError' && 'code' in error && String(error.code) in errorCodes
  );
}

export function errorFromRecord({ code, message, at, mend }: ErrorRecord): Error {
  return code ? new PerformersError(code, message, { at, mend }) : new Error(message);
}
