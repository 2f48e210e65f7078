/** The layers that attention is measured in: one attention layer each, q, k, v and out [1,N,H·D] as projections leave and take them. */
export interface LayerShape {
  readonly what: string;
  /** H */
  readonly heads: number;
  /** D = E */
  readonly width: number;
  /** Query i sees keys 0 … i. */
  readonly causal: boolean;
}

export const shapes = {
  encoder: { what: 'encoder layer, 12 heads of 64', heads: 12, width: 64, causal: false },
  vit: { what: 'layer of a small vision transformer, 6 heads of 64', heads: 6, width: 64, causal: false },
  decoder: { what: 'causal decoder layer reading a prompt, 12 heads of 64', heads: 12, width: 64, causal: true },
} satisfies Record<string, LayerShape>;

export type ShapeName = keyof typeof shapes;
export const shapeNames = Object.keys(shapes) as ShapeName[];

/** Bytes of q, k, v and out in float32, which any attention reads and writes at least. */
export function leastBytes({ heads, width }: LayerShape, n: number): number {
  return 4 * 4 * n * heads * width;
}
