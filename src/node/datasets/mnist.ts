/** The MNIST test set (LeCun, Cortes and Burges 1998): 10,000 digits of 28 × 28 in IDX files, big endian, compressed. Values 0 to 1. */
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type DatasetSource, damaged, readBytesAt } from './dataset.js';

export const mnist: DatasetSource = {
  about: '10,000 handwritten digits of 28 x 28',
  path: 'mnist/t10k-images-idx3-ubyte.gz',
  origin: 'any mirror of MNIST: t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz',
  read: async (at) => {
    const images = await readIdx(at, 3);
    const labelsAt = join(dirname(at), 't10k-labels-idx1-ubyte.gz');
    const labels = await readIdx(labelsAt, 1);
    const [n, height, width] = images.dims;
    if (labels.dims[0] !== n) throw damaged(labelsAt, `there are ${n} images and ${labels.dims[0]} labels`);
    const bad = labels.data.findIndex((label) => label > 9);
    if (bad >= 0) throw damaged(labelsAt, `labels are 0 to 9, label ${bad} is ${labels.data[bad]}`);
    return {
      x: Float64Array.from(images.data, (byte) => byte / 255),
      d: height * width,
      labels: Int32Array.from(labels.data),
      classes: 10,
    };
  },
};

async function readIdx(at: string, rank: number): Promise<{ dims: number[]; data: Uint8Array }> {
  const packed = await readBytesAt(at);
  let bytes: Uint8Array;
  try {
    bytes = gunzipSync(packed);
  } catch (cause) {
    throw damaged(at, 'the file is no whole gzip stream', cause);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = 4 + 4 * rank;
  if (bytes.length < header || view.getUint32(0) !== 0x0800 + rank)
    throw damaged(at, `the file is no IDX file of bytes in ${rank} dimensions`);
  const dims = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const size = dims.reduce((product, dim) => product * dim, 1);
  if (bytes.length !== header + size)
    throw damaged(at, `${dims.join(' x ')} bytes are promised, ${bytes.length - header} are there`);
  return { dims, data: bytes.subarray(header) };
}
