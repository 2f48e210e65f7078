/** √(Σ (got − want)² / Σ want²). Two arrays of zeros agree (0); anything else against zeros is infinitely far off. */
export function relRMS(got: ArrayLike<number>, want: ArrayLike<number>): number {
  return compare(got, want).relRMS;
}

/** The values disagree. A type of its own, so that a mutant which fails for another reason is not taken for caught. */
export class CloseError extends Error {
  override readonly name = 'CloseError';
}

/** @throws CloseError when relRMS(got, want) > bound or a value is not finite; it says how far off, and where */
export function close(got: ArrayLike<number>, want: ArrayLike<number>, bound: number): void {
  const { relRMS, index, nan, infinite } = compare(got, want);
  if (relRMS <= bound && nan + infinite === 0) return;
  throw new CloseError(
    [
      `relRMS ${show(relRMS)}, bound ${show(bound)}`,
      `max abs error ${show(Math.abs(got[index] - want[index]))} at index ${index} of ${want.length}`,
      `got ${got[index]}, want ${want[index]}`,
      `NaN ${nan}, infinite ${infinite}`,
    ].join('; '),
  );
}

/** Runs a check on a mutant. It must fail by its numbers: with a CloseError, or an assertion of the test runner. */
export function expectMutantFails(check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof CloseError || (error instanceof Error && error.name === 'AssertionError')) return;
    throw error;
  }
  throw new Error('the mutant passed: this check cannot fail, so it proves nothing');
}

interface Comparison {
  readonly relRMS: number;
  /** Of the largest error, or of the first value that is not finite. */
  readonly index: number;
  /** Counted over both arrays. */
  readonly nan: number;
  readonly infinite: number;
}

function compare(got: ArrayLike<number>, want: ArrayLike<number>): Comparison {
  if (got.length !== want.length) throw new RangeError(`got ${got.length} values, want ${want.length}`);
  if (want.length === 0) throw new RangeError('nothing to compare: both arrays are empty');
  let errorSquare = 0;
  let wantSquare = 0;
  let index = 0;
  let largest = -1;
  let nan = 0;
  let infinite = 0;
  for (let i = 0; i < want.length; i++) {
    for (const value of [got[i], want[i]]) {
      if (Number.isNaN(value)) nan++;
      else if (!Number.isFinite(value)) infinite++;
    }
    const error = Math.abs(got[i] - want[i]);
    // ∞ − ∞ is NaN too, and no later error beats the first that is not finite.
    const size = Number.isFinite(error) ? error : Infinity;
    if (size > largest) {
      largest = size;
      index = i;
    }
    errorSquare += error * error;
    wantSquare += want[i] * want[i];
  }
  return { relRMS: errorSquare === 0 ? 0 : Math.sqrt(errorSquare / wantSquare), index, nan, infinite };
}

function show(value: number): string {
  return value === 0 || !Number.isFinite(value) ? String(value) : value.toExponential(2);
}
