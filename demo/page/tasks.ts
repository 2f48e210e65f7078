/** What models are asked, one entry a task of transformers.js: the pipeline's call, its answer as it is shown, and the numbers that are compared. */
import { RawImage, Tensor } from '@huggingface/transformers';
import type { Answer, Input } from './protocol.js';

export interface Outcome {
  readonly answer: Answer;
  /** What errors are of, and the numbers. */
  readonly what: string;
  readonly numbers: ArrayLike<number>;
}

export interface Task {
  readonly input: 'image' | 'text';
  ask(pipe: Pipe, input: Input): Promise<Outcome>;
}

/** Any pipeline, as it is called here: what it takes is the task's business, and its types differ from task to task. */
export interface Pipe {
  (input: unknown, options?: object): Promise<unknown>;
  readonly model: {
    (inputs: object): Promise<object>;
    _call(inputs: object): Promise<object>;
    readonly sessions?: Readonly<Record<string, { readonly inputNames: readonly string[] }>>;
  };
  readonly tokenizer: (text: string) => Promise<object>;
  readonly processor?: { readonly image_processor?: object };
  dispose(): Promise<unknown>;
}

async function picture(input: Input): Promise<RawImage> {
  if (input.kind !== 'image') throw new TypeError('this task takes an image');
  return RawImage.fromBlob(input.image);
}

function textOf(input: Input): string {
  if (input.kind !== 'text') throw new TypeError('this task takes text');
  return input.text;
}

function numbersOf(tensor: unknown): Float32Array {
  if (!(tensor instanceof Tensor)) throw new TypeError('the pipeline gave no tensor');
  return Float32Array.from(tensor.data as ArrayLike<number>, Number);
}

/** Labels with scores, in the order of their names for comparison and of their scores for showing. */
function labels(result: unknown): Outcome {
  const items = (Array.isArray(result) ? result : [result]).map((one: Record<string, unknown>) => ({
    label: String(one.label ?? one.token_str ?? one.sequence),
    score: Number(one.score),
  }));
  const named = [...items].sort((a, b) => a.label.localeCompare(b.label));
  return {
    answer: { kind: 'labels', items: items.slice(0, 5) },
    what: 'scores',
    numbers: named.map(({ score }) => score),
  };
}

function vector(tensor: unknown, what: string): Outcome {
  const numbers = numbersOf(tensor);
  return { answer: { kind: 'numbers', what, head: Array.from(numbers.slice(0, 8)) }, what, numbers };
}

export const tasks = {
  'depth-estimation': {
    input: 'image',
    async ask(pipe, input) {
      const result = await pipe(await picture(input));
      const tensor = (result as { predicted_depth: unknown }).predicted_depth;
      const data = numbersOf(tensor);
      const [height = 0, width = 0] = (tensor as Tensor).dims.slice(-2);
      return { answer: { kind: 'map', data, width, height }, what: 'map', numbers: data };
    },
  },
  'image-classification': {
    input: 'image',
    ask: async (pipe, input) => labels(await pipe(await picture(input), { top_k: 1000 })),
  },
  'image-feature-extraction': {
    input: 'image',
    ask: async (pipe, input) => vector(await pipe(await picture(input)), 'features'),
  },
  'text-generation': {
    input: 'text',
    async ask(pipe, input) {
      const prompt = textOf(input);
      const max_new_tokens = input.kind === 'text' ? input.newTokens : 1;
      const [story] = (await pipe(prompt, { max_new_tokens, do_sample: false })) as {
        generated_text: string;
      }[];
      // The words that follow are one guess each; how far the guesses are apart is in the scores of the prompt's own tokens.
      const { logits } = (await pipe.model(await pipe.tokenizer(prompt))) as { logits: unknown };
      return {
        answer: { kind: 'text', text: story?.generated_text ?? '' },
        what: 'logits of the prompt',
        numbers: numbersOf(logits),
      };
    },
  },
  'feature-extraction': {
    input: 'text',
    async ask(pipe, input) {
      return vector(await pipe(textOf(input), { pooling: 'mean', normalize: true }), 'embedding');
    },
  },
  'text-classification': {
    input: 'text',
    ask: async (pipe, input) => labels(await pipe(textOf(input), { top_k: 1000 })),
  },
  'fill-mask': {
    input: 'text',
    ask: async (pipe, input) => labels(await pipe(textOf(input), { top_k: 5 })),
  },
} satisfies Record<string, Task>;

export type TaskName = keyof typeof tasks;

/** The task of a model by what its configuration says it is of. */
export function taskOf(config: { readonly architectures?: readonly string[] }, hasImages: boolean): TaskName {
  const [name = ''] = config.architectures ?? [];
  const known: readonly (readonly [RegExp, TaskName])[] = [
    [/ForDepthEstimation$/, 'depth-estimation'],
    [/ForImageClassification$/, 'image-classification'],
    [/ForCausalLM$|LMHeadModel$/, 'text-generation'],
    [/ForSequenceClassification$/, 'text-classification'],
    [/ForMaskedLM$/, 'fill-mask'],
  ];
  return (
    known.find(([pattern]) => pattern.test(name))?.[1] ??
    (hasImages ? 'image-feature-extraction' : 'feature-extraction')
  );
}
