/**
 * Every error this library throws on purpose. Throwing is for a caller's mistake or broken bytes;
 * a layer that is declined is data (`Refusal`, `NearMiss`), never an exception.
 */
export const errorCodes = {
  PF101: 'not an ONNX model',
  PF102: 'the model is truncated or damaged',
  PF103: 'the input is empty',
  PF104: 'external weights are missing',
  PF105: 'external weights lie outside the model folder',
  PF106: 'no model in this folder',
  PF107: 'a file could not be read',
  PF108: 'a file could not be written',
  PF109: 'the graph is not valid ONNX',
  PF110: 'subgraphs are nested too deeply',
  PF111: 'the model file is larger than 2 GB',
  PF201: 'unknown plan',
  PF202: 'an option has a wrong value',
  PF203: 'no such layer or head',
  PF204: 'a sample input or a session factory is needed',
  PF205: 'the undo record does not belong to this model',
  PF206: 'a key cache is read where it would hold a state',
  PF301: 'onnxruntime could not be used',
  PF302: 'the model failed to run',
  PF303: 'the pipeline carries no report',
  PF304: 'a text is longer than the model has positions',
  PF305: 'the state is of another model or plan',
  PF306: 'the batch changed its size between two calls',
  PF307: 'the model gave logits that are not numbers',
  PF401: 'data or labels have a wrong shape or are not finite',
  PF402: 'there are too few rows to draw from',
  PF403: 'the data do not determine the features',
  PF410: 'a kernel parameter has a wrong value',
  PF411: 'the kernel has no such features',
  PF412: 'too few features for this kernel',
  PF413: 'a row is not a unit vector',
  PF414: 'a least-squares fit did not end',
  PF420: 'a low-bit option or value is wrong',
  PF421: 'packed bytes are damaged',
  PF422: 'a memory budget cannot be met',
  PF423: 'an option or the data of a kernel machine is wrong',
  PF424: 'a system of equations has no solution',
  PF425: 'an option or the data of training is wrong',
  PF426: '@jax-js/jax is needed to train',
  PF427: 'training diverged',
  PF428: 'a data set is missing',
  PF429: 'a data set is damaged',
  PF430: 'an option of the feature comparison is wrong',
  PF501: 'calibration data is missing, too little or of the wrong kind',
  PF502: 'the plan was made for another model',
  PF503: 'no choice of plans meets the limits',
  PF504: 'the model is not finite on the calibration data',
  PF701: 'no WebGPU adapter',
  PF702: 'the device cannot compute in float16',
  PF703: 'the device is out of memory',
  PF704: 'the device was lost',
  PF705: 'a kernel was loaded or bound wrongly',
  PF706: 'an array or option of a kernel has a wrong shape or value',
  PF707: 'the device refused a kernel',
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** What went wrong, where, and how to mend it. `cause` keeps the error below, unrenamed. */
export class PerformersError extends Error {
  readonly code: ErrorCode;
  readonly at?: string;
  readonly mend?: string;

  constructor(code: ErrorCode, message: string, where: { at?: string; mend?: string; cause?: unknown } = {}) {
    const lines = [`${code}  ${message}`];
    if (where.at) lines.push(`  at   ${where.at}`);
    if (where.mend) lines.push(`  mend ${where.mend}`);
    super(lines.join('\n'), where.cause === undefined ? undefined : { cause: where.cause });
    this.name = 'PerformersError';
    this.code = code;
    this.at = where.at;
    this.mend = where.mend;
  }
}

/** The entry of `known` closest to `word` by edit distance, when it is close enough to be a typo. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (!best || distance < best.distance) best = { name, distance };
  }
  return best && best.distance <= Math.max(2, Math.floor(word.length / 3)) ? best.name : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
