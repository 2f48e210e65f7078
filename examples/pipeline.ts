import { env, pipeline } from '@huggingface/transformers';
import { performers } from 'performers.js/transformers';

env.localModelPath = 'models/'; // the model this repository ships; leave both lines out for one from the hub
env.allowRemoteModels = false;

const options = performers({ plan: 'exact-blocked' });
const saliency = await pipeline('depth-estimation', 'vit-s14-saliency', { dtype: 'fp32', ...options });

const { depth } = await saliency('models/vit-s14-saliency/samples/coffee.png');
const reports = performers.report(saliency);
console.log(depth.size, Object.values(reports)[0]?.sites.length);
