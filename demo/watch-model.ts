import { Tensor } from '@huggingface/transformers';

/** Keeps the last inputs and outputs of a model that a pipeline calls, of which the pipeline returns only a part. */
export function watchModel(model: { _call(inputs: object): Promise<object> }) {
  let inputs: Record<string, unknown> = {};
  let outputs: Record<string, unknown> = {};
  const call = model._call.bind(model);
  model._call = async (given) => {
    inputs = { ...given };
    const result = await call(given);
    outputs = { ...result };
    return result;
  };
  return {
    inputs: () =>
      Object.fromEntries(Object.entries(inputs).flatMap(([key, x]) => (x instanceof Tensor ? [[key, x]] : []))),
    has: (name: string) => outputs[name] instanceof Tensor,
    output(name: string): Tensor {
      const tensor = outputs[name];
      if (!(tensor instanceof Tensor)) throw new TypeError(`the model has no output '${name}'`);
      return tensor;
    },
  };
}
