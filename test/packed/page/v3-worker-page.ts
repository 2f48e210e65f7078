import { openInWorker } from './calls.js';

window.page = await openInWorker(new Worker(new URL('./v3-worker.ts', import.meta.url), { type: 'module' }));
