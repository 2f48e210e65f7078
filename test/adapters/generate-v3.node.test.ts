import * as transformers from 'transformers-v3';
import { describeGenerate, type Library } from './generate.js';

describeGenerate(transformers as unknown as Library, '3.8.1');
