/**
 * Letter recognition (Frey and Slate 1991: 20,000 rows of 16 whole numbers, 26 classes), EEG eye state (Roesler 2013: 14,980 rows of 14
 * electrodes, eyes open or closed) and the USPS test set (Hull 1994: 2,007 digits of 16 × 16, in the format of LIBSVM).
 */
import { bunzip2 } from './bzip2.js';
import { type DatasetSource, damaged, readBytesAt } from './dataset.js';
import { numberedLines, toNumber } from './delimited.js';

export const letter: DatasetSource = {
  about: '20,000 letters, 16 numbers each, 26 classes',
  path: 'uci/letter-recognition.data',
  origin: 'the UCI repository, data set 59',
  read: async (at) => {
    const lines = numberedLines(new TextDecoder().decode(await readBytesAt(at)));
    // Some copies begin with the names of the columns.
    const rows = lines
      .filter(({ line, number }) => number > 1 || /^[A-Z],/.test(line))
      .map(({ line, number }) => {
        const [first, ...values] = line.split(',');
        if (!/^[A-Z]$/.test(first) || values.length !== 16)
          throw damaged(`${at}:${number}`, `a row is a letter and 16 numbers, got '${line.slice(0, 40)}'`);
        return { label: first.charCodeAt(0) - 65, values: values.map((value) => toNumber(value, at, number)) };
      });
    return collect(rows, 16, 26, at);
  },
};

export const eeg: DatasetSource = {
  about: '14,980 readings of 14 electrodes, eyes open or closed',
  path: 'uci/EEG_Eye_State.arff',
  origin: 'the UCI repository, data set 264',
  read: async (at) => {
    const lines = numberedLines(new TextDecoder().decode(await readBytesAt(at)));
    const start = lines.findIndex(({ line }) => /^@data/i.test(line));
    if (start < 0) throw damaged(at, 'an ARFF file has a line @DATA, this one has none');
    const rows = lines.slice(start + 1).map(({ line, number }) => {
      const values = line.split(',').map((value) => toNumber(value, at, number));
      const label = values.pop();
      if (values.length !== 14 || (label !== 0 && label !== 1))
        throw damaged(`${at}:${number}`, `a row is 14 numbers and 0 or 1, got '${line.slice(0, 40)}'`);
      return { label, values };
    });
    return collect(rows, 14, 2, at);
  },
};

export const usps: DatasetSource = {
  about: '2,007 handwritten digits of 16 x 16',
  path: 'uci/usps.t.bz2',
  origin: 'the LIBSVM data sets page, multi-class, usps.t.bz2',
  read: async (at) => {
    const rows = numberedLines(new TextDecoder().decode(bunzip2(await readBytesAt(at), at))).map(({ line, number }) => {
      const [label, ...pairs] = line.trim().split(/\s+/);
      const values = new Array<number>(256).fill(0);
      for (const pair of pairs) {
        const [index, value] = pair.split(':').map((part) => toNumber(part, at, number));
        if (!Number.isInteger(index) || index < 1 || index > 256)
          throw damaged(`${at}:${number}`, `indices are 1 to 256, got '${pair}'`);
        values[index - 1] = value;
      }
      return { label: toNumber(label, at, number) - 1, values };
    });
    return collect(rows, 256, 10, at);
  },
};

function collect(
  rows: readonly { readonly label: number; readonly values: readonly number[] }[],
  d: number,
  classes: number,
  at: string,
) {
  if (rows.length === 0) throw damaged(at, 'the file has no rows');
  const bad = rows.findIndex(({ label }) => !Number.isInteger(label) || label < 0 || label >= classes);
  if (bad >= 0) throw damaged(at, `labels are one of ${classes}, row ${bad + 1} has ${rows[bad].label}`);
  const x = new Float64Array(rows.length * d);
  rows.forEach(({ values }, i) => {
    x.set(values, i * d);
  });
  return { x, d, labels: Int32Array.from(rows, ({ label }) => label), classes };
}
