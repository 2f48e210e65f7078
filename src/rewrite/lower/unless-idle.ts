/** Where calls follow each other, many evict nothing: one of two subgraphs runs. */
import type { Builder } from '../../onnx/build.js';
import { makeGraph, makeValueInfo } from '../../onnx/message.js';
import type { Stream } from './stream.js';

const float32 = 1;

/** Sizes of the stages [B,H,n,rows,width] that either branch gives, `rows` for each of them. */
export interface StageSizes {
  readonly heads: number;
  readonly rows: readonly number[];
  readonly width: number;
}

export type Branch = (body: Builder) => readonly string[];

/** The stages by `idle` where the call evicts nothing, otherwise by `evict`. */
export function unlessIdle(
  build: Builder,
  stream: Stream,
  { heads, rows, width }: StageSizes,
  { idle, evict }: { readonly idle: Branch; readonly evict: Branch },
): string[] {
  const branch = (name: string, make: Branch) => {
    const body = build.body();
    const made = make(body);
    return makeGraph({
      name: body.fresh(name),
      node: [...body.nodes],
      output: made.map((value, i) => makeValueInfo(value, float32, [undefined, heads, undefined, rows[i], width])),
    });
  };
  return build.ops('If', [stream.idle], rows.length, {
    then_branch: branch('idle', idle),
    else_branch: branch('evict', evict),
  });
}
