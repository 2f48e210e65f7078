/** CIFAR-10 (Krizhevsky 2009) as a folder of images a class, 32 × 32 × 3. Values 0 to 1, pixel by pixel, red, green, blue. */
import { join } from 'node:path';
import { readPixels } from '../../adapters/image.node.js';
import { type DatasetSource, damaged, namesIn } from './dataset.js';

const classes = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];

export const cifar10: DatasetSource = {
  about: 'photographs of 32 x 32 in 10 classes',
  path: 'cifar10',
  origin: 'any mirror of CIFAR-10 as images, in a folder a class',
  read: async (at) => {
    const rows: { readonly file: string; readonly label: number }[] = [];
    // One after another: of two folders that are not there, the first is named, always.
    for (const [label, name] of classes.entries()) {
      const folder = join(at, name);
      const names = await namesIn(folder).catch((cause) => {
        throw damaged(folder, `the folder of the class '${name}' is not there`, cause);
      });
      const images = names.filter((file) => /\.(jpe?g|png)$/i.test(file));
      rows.push(...images.map((file) => ({ file: join(folder, file), label })));
    }
    if (rows.length === 0) throw damaged(at, 'the folders hold no images');
    const d = 32 * 32 * 3;
    const x = new Float64Array(rows.length * d);
    for (const [i, { file }] of rows.entries()) {
      const { data, width, height } = await readPixels(file).catch((cause) => {
        throw damaged(file, 'the image could not be read', cause);
      });
      if (width !== 32 || height !== 32) throw damaged(file, `images are 32 x 32, this one is ${width} x ${height}`);
      x.set(
        Float64Array.from(data, (byte) => byte / 255),
        i * d,
      );
    }
    return { x, d, labels: Int32Array.from(rows, ({ label }) => label), classes: classes.length };
  },
};
