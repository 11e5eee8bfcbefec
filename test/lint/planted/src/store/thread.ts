import { Worker } from 'node:worker_threads';

export const worker = (): Worker => new Worker('name');
