import { createRequire } from 'node:module';
import * as transformers from 'transformers-v3';
import { describeBadCalls } from './bad-calls.js';
import type { Library } from './generate.js';

const require = createRequire(import.meta.url);
const ort = createRequire(require.resolve('transformers-v3'))('onnxruntime-node');

describeBadCalls(transformers as unknown as Library, '3.8.1', ort);
