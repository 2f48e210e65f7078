// Import maps do not reach workers, and so everything is imported by its address: transformers.js as the one file that needs no
// other, and the onnxruntime both are to use. transformers.js looks for it when it is loaded, hence the order.
import * as ort from '/node_modules/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs';

globalThis[Symbol.for('onnxruntime')] = ort;
const { env, pipeline } = await import('/node_modules/@huggingface/transformers/dist/transformers.min.js');
const { performers } = await import('/node_modules/performers.js/dist/adapters/transformers.global.js');

// The model lies on this server; leave these three lines out for one from the hub.
env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = '/models/';
env.backends.onnx.wasm.wasmPaths = '/node_modules/onnxruntime-web/dist/';

const options = performers({ plan: 'exact-blocked' });
const saliency = await pipeline('depth-estimation', 'vit-s14-saliency', { dtype: 'fp32', ...options });
const { depth } = await saliency('/models/vit-s14-saliency/samples/coffee.png');
const { data, width, height } = depth.rgba();
const layers = performers.report(saliency).model.sites.length;
postMessage({ layers, pixels: new Uint8ClampedArray(data), width, height });
