import { AutoModelForCausalLM, env, Tensor } from '/dist/transformers.min.js';

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.backends.onnx.wasm.wasmPaths = '/dist/';

/** The logits that the model in a folder gives for tokens. */
export async function logitsOf(folder, tokens) {
  env.localModelPath = `/models/${folder}/`;
  const model = await AutoModelForCausalLM.from_pretrained('performer-stories', {
    quantized: false,
    model_file_name: 'model',
  });
  const row = (values) => new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const { logits } = await model({ input_ids: row(tokens), attention_mask: row(tokens.map(() => 1)) });
  await model.dispose();
  return Array.from(logits.data);
}
