import * as transformers from '@huggingface/transformers';
import { describeBadCalls } from './bad-calls.js';

describeBadCalls(transformers, '4.3.1');
