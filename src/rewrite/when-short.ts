/** One of two subgraphs by the number of queries. */
import type { Builder } from '../onnx/build.js';
import type { ValueInfoProto } from '../onnx/gen/onnx.js';
import { makeGraph } from '../onnx/message.js';
import { axisOf } from './layout.js';
import type { Site } from './site.js';

/** `If` the queries of a site are `most` or fewer. Both branches read the graph around them. */
export function whenShort(
  build: Builder,
  site: Site,
  most: number,
  branches: {
    readonly short: (branch: Builder) => string;
    readonly long: (branch: Builder) => string;
    readonly output: (name: string) => ValueInfoProto;
    /** A value whose second axis is the tokens. Default: they are counted in the queries. */
    readonly counted?: string;
  },
): string {
  const short = isShort(build, site, most, branches.counted);
  const branch = (name: string, make: (branch: Builder) => string) => {
    const body = build.body();
    const result = make(body);
    return makeGraph({ name: body.fresh(name), node: [...body.nodes], output: [branches.output(result)] });
  };
  return build.op('If', [short], {
    then_branch: branch('short', branches.short),
    else_branch: branch('long', branches.long),
  });
}

/** Whether the queries are `most` or fewer; they are counted along the second axis of `counted` where that is given. */
export function isShort(build: Builder, { operands }: Site, most: number, counted?: string): string {
  const { expr, layout } = operands.q;
  const [value, axis] = counted === undefined ? [build.emit(expr), axisOf(layout, 'n')] : [counted, 1];
  const tokens = build.op('Gather', [build.op('Shape', [value]), build.int64([axis], [])], { axis: 0 });
  return build.op('Less', [tokens, build.int64([most + 1], [])]);
}
