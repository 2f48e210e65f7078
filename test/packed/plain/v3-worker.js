import * as ort from '/ort/ort.bundle.min.mjs';
import { answerCalls } from './calls.js';
import { createPage } from './run.js';

globalThis[Symbol.for('onnxruntime')] = ort;
const transformers = await import('/transformers/transformers.min.js');
const { performers } = await import('/performers.js/adapters/transformers.global.js');
answerCalls(createPage(transformers, performers));
