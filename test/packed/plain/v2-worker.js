import { logitsOf } from './v2.js';

addEventListener('message', async ({ data: given }) => {
  try {
    postMessage({ logits: await logitsOf(...given) });
  } catch (error) {
    postMessage({ error: String(error) });
  }
});
postMessage('ready');
