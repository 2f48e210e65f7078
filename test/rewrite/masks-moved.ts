/** Masks that are cut, laid out anew or mixed with others before they are added, as found in graphs of other families. */
import { bias, both, type Claim, type Form, heads, slopes, tools } from './masks.js';

const [lowest, end] = [-3.4028234663852886e38, 2 ** 40];

export const movedForms: Readonly<Record<string, Claim & { readonly form: Form }>> = {
  'Flaubert: the last n of a mask of n': {
    mask: 'padding',
    form: bias((t) => {
      const cut = t.op('Slice', t.mask, t.at(t.op('Neg', t.s), 0), t.build.int64([end]), t.build.int64([1]));
      return t.op('Where', t.op('Equal', t.at(cut, 1, 2), t.int(0)), t.num(lowest), t.num(0));
    }),
  },
  'DETR: rows and columns of a picture, of sizes that nothing is known of, side by side': {
    mask: 'padding',
    form: bias((t) => {
      const columns = t.op('Where', t.op('Equal', t.op('Mod', t.s, t.int(3)), t.int(0)), t.int(3), t.int(1));
      const picture = t.op('Reshape', t.mask, t.shape(t.int(0), t.op('Div', t.s, columns), columns));
      const flat = t.op('Reshape', picture, t.build.int64([0, -1]));
      const spread = t.op('Expand', t.at(flat, 1, 2), t.shape(t.int(1), t.int(1), t.n, t.int(1)));
      return t.hide(t.cast(spread, 9));
    }),
  },
  'Falcon: ALiBi where a mask of the lowest numbers is not below −1': {
    mask: 'alibi+causal+padding',
    alibi: true,
    form: (site) => {
      const t = tools(site);
      const counted = t.op('Mul', t.op('Sub', t.op('CumSum', t.mask, t.int(1)), t.int(1)), t.mask);
      const alibi = t.op('Mul', t.build.float(slopes, [heads, 1]), t.cast(t.at(counted, 1), 1));
      const low = t.op('Mul', t.num(lowest), t.cast(t.op('Not', t.at(t.causal(), 0, 1)), 1));
      const empty = t.op('Equal', t.op('Add', low, t.cast(t.at(t.mask, 1, 2), 1)), t.num(0));
      const hidden = t.op('Less', t.op('Where', empty, t.num(lowest), low), t.num(-1));
      return { masked: t.op('Add', site.scores, t.op('Where', hidden, t.num(lowest), t.at(alibi, 2))) };
    },
  },
  'a mask chosen as 1 and 0, and taken for truth': {
    mask: 'causal+padding',
    form: bias((t) => {
      const kept = t.op('Where', both(t, t.causal()), t.num(1), t.num(0));
      return t.op('Mul', t.op('Sub', t.num(1), kept), t.num(-1e9));
    }),
  },
};
