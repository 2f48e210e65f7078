/** Every test of kernels that needs a device and no more, again in Chromium: another front end, and buffers in another process. */
import '../kernels/attend.test.js';
import '../kernels/causal.test.js';
import '../kernels/double-softmax.test.js';
import '../kernels/gpu.test.js';
import '../kernels/half.test.js';
import '../kernels/hybrid.test.js';
import '../kernels/low-bit.test.js';
import '../kernels/low-bit-features.test.js';
import '../kernels/merge.test.js';
import '../kernels/pieces.test.js';
