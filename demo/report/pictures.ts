import { RawImage } from '@huggingface/transformers';
import type { Map2D } from '../measurement.js';
import { magmaAt } from './colours.js';

/** An image in the page itself. */
export interface Picture {
  readonly src: string;
  readonly width: number;
  readonly height: number;
}

const width = 320;

/** The photo, small. */
export async function photoPicture(path: string): Promise<Picture> {
  const photo = (await RawImage.read(path)).rgb();
  return encode(photo, photo.height / photo.width, 82);
}

/** A map in colour, in the proportions of the photo. `range` maps to the ends of the colours. */
export async function mapPicture(map: Map2D, photo: Picture, range: readonly [number, number]): Promise<Picture> {
  const [low, high] = range;
  const pixels = new Uint8ClampedArray(map.data.length * 3);
  for (const [i, value] of map.data.entries()) pixels.set(magmaAt((value - low) / (high - low)), 3 * i);
  return encode(new RawImage(pixels, map.width, map.height, 3), photo.height / photo.width, 76);
}

/** Least and largest value. */
export function rangeOf(map: Map2D): [number, number] {
  return map.data.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
}

async function encode(image: RawImage, aspect: number, quality: number): Promise<Picture> {
  const height = Math.max(1, Math.round(width * aspect));
  const bytes: Buffer = await image.toSharp().resize(width, height, { fit: 'fill' }).webp({ quality }).toBuffer();
  return { src: `data:image/webp;base64,${bytes.toString('base64')}`, width, height };
}
