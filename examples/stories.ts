import { env, pipeline } from '@huggingface/transformers';

env.localModelPath = 'models/';
env.allowRemoteModels = false;

// Without patterns of memory, onnxruntime keeps no plan for every length of the attention mask.
const options = { dtype: 'fp32', session_options: { enableMemPattern: false } } as const;
const generate = await pipeline('text-generation', 'performer-stories', options);
const story = await generate('Once upon a time, there was a little girl', { max_new_tokens: 12, do_sample: false });
console.log(JSON.stringify(story));
