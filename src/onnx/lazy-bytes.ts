/*
 * A file of gigabytes as a buffer of which only what is looked at was read: memory that nobody touches costs none.
 * Weights are passed on by their position and never looked at; small constants are, and whoever does calls loaded().
 */
const loaders = new WeakMap<ArrayBufferLike, (bytes: Uint8Array) => void>();

/** Registers what fills views of a buffer in, in place. */
export function loadOnDemand(buffer: ArrayBufferLike, load: (bytes: Uint8Array) => void): void {
  loaders.set(buffer, load);
}

/** The same bytes, with their content. */
export function loaded(bytes: Uint8Array): Uint8Array {
  loaders.get(bytes.buffer)?.(bytes);
  return bytes;
}
