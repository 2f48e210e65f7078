import type { Task, TaskName } from './tasks.js';

/** What a task takes, for the page, which does not load transformers.js: its worker does. */
export const tasks = {
  'depth-estimation': 'image',
  'image-classification': 'image',
  'image-feature-extraction': 'image',
  'text-generation': 'text',
  'feature-extraction': 'text',
  'text-classification': 'text',
  'fill-mask': 'text',
} satisfies Record<TaskName, Task['input']>;
