/** `performers.js/learn`: random features that are trained, by @jax-js/jax, which only this entry needs. */
export { type DeepKernelOptions, trainDeepKernel } from './deep-kernel.js';
export { type DeepKernelModel, type DeepKernelParts, deepKernelModel } from './deep-kernel-model.js';
export { type FrequencyGenerator, type GeneratorOptions, trainGenerator } from './generator.js';
