/** node-llama-cpp with a memory: `openLlama` gives sequences that restore before they compute. */
export { LlamaEngine, openLlama } from './engines/llama/llama-engine.ts';
export type { LlamaEngineOptions } from './engines/llama/llama-engine.ts';
export type { LlamaIdentity } from './engines/llama/llama-identity.ts';
export type { RestorePolicy } from './engines/llama/llama-restore.ts';
export type { LlamaStatistics } from './engines/llama/llama-statistics.ts';
