/** A number as IEEE 754 binary16 bits, rounded half up: for feeding float16 models. */
export function halfBits(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0] ?? 0;
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 255) - 112;
  const fraction = bits & 0x7fffff;
  if (exponent <= 0) return value === 0 ? sign : sign | Math.round(Math.abs(value) * 2 ** 24);
  if (exponent >= 31) return sign | 0x7c00;
  return (sign | (exponent << 10) | (fraction >>> 13)) + ((fraction >>> 12) & 1);
}

/** The number that binary16 bits are. */
export function halfValue(bits: number): number {
  const [exponent, fraction] = [(bits >>> 10) & 31, bits & 0x3ff];
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
