import * as transformers from '@huggingface/transformers';
import { performers } from '../../../src/adapters/transformers.js';
import { createPage } from './run.js';

window.page = createPage(transformers, performers);
