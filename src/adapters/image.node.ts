/** Pixels of an image file, by the decoder that transformers.js brings along. */
import { PerformersError } from '../errors.js';

export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray; // [height,width,3]
}

/** @throws PerformersError PF301 without @huggingface/transformers; what its decoder throws for a file that is no image */
export async function readPixels(path: string): Promise<Pixels> {
  const { RawImage } = await import('@huggingface/transformers').catch((cause) => {
    throw new PerformersError('PF301', '@huggingface/transformers could not be loaded', {
      at: path,
      mend: 'npm install @huggingface/transformers; its decoder reads images',
      cause,
    });
  });
  const { width, height, data } = (await RawImage.read(path)).rgb();
  return { width, height, data };
}
