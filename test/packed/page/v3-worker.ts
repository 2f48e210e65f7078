import * as ort from 'onnxruntime-web';
import * as transformers from 'transformers-v3';
import { performers } from '../../../src/adapters/transformers.js';
import { answerCalls } from './calls.js';
import { createPage, type Library } from './run.js';

// See v3.ts.
answerCalls(createPage(transformers as unknown as Library, performers, ort));
