import { defineConfig } from 'tsup';

// One build for every entry: with splitting, `PerformersError` is one class whether it comes from "." or an adapter.
// src/cli/main.ts carries its own `#!/usr/bin/env node`; tsup keeps it and makes the file executable.
export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'attention/index': 'src/attention/index.ts',
    'features/index': 'src/features/index.ts',
    'kernels/index': 'src/kernels/index.ts',
    'learn/index': 'src/learn/index.ts',
    'machines/index': 'src/machines/index.ts',
    'quant/index': 'src/quant/index.ts',
    'adapters/transformers': 'src/adapters/transformers.ts',
    'adapters/transformers.global': 'src/adapters/transformers.global.ts',
    'adapters/transformers.node': 'src/adapters/transformers.node.ts',
    'adapters/onnxruntime': 'src/adapters/onnxruntime.ts',
    'calibrate/calibrate': 'src/calibrate/calibrate.ts',
    'cli/main': 'src/cli/main.ts',
    // Started as processes of their own by src/node/worker-program.ts, which looks for them under these names.
    'node/measure-worker': 'src/node/measure-worker.ts',
    'node/bench-worker': 'src/node/bench-worker.ts',
  },
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  splitting: true,
  dts: true,
  clean: true,
  // dist/default-data: what calibration falls back on (src/node/default-data.ts).
  publicDir: 'assets',
  external: [/^node:/, /^onnxruntime/, '@huggingface/transformers', '@jax-js/jax', '@jax-js/onnx'],
  removeNodeProtocol: false,
});
