import * as transformers from '@huggingface/transformers';
import { performers } from '../../../src/adapters/transformers.js';
import { answerCalls } from './calls.js';
import { createPage } from './run.js';

answerCalls(createPage(transformers, performers));
