import * as transformers from '@huggingface/transformers';
import { describeGenerate } from './generate.js';

describeGenerate(transformers, '4.3.1');
