import * as ort from 'onnxruntime-web';
import * as transformers from 'transformers-v3';
import { performers } from '../../../src/adapters/transformers.js';
import { createPage, type Library } from './run.js';

// 3.x has its sessions from another entry point of onnxruntime-web than 4.x, and so another copy of onnxruntime.
// Its declarations differ from those of 4.x; what the page calls does not.
window.page = createPage(transformers as unknown as Library, performers, ort);
