/**
 * A chat whose prompts are not computed twice: run it again, also after a restart, and the beginning
 * that the prompts share is restored. Needs a model: npm install node-llama-cpp.
 *
 *     node dist/examples/chat.js model.gguf 'Why do wombats dig?'
 */
import { availableParallelism } from 'node:os';
import { LlamaChatSession } from 'node-llama-cpp';
import { openFromEnvironment } from '../src/index.ts';
import { openLlama } from '../src/llama.ts';

const [modelPath = '', question = 'Why do wombats dig?', maxTokens = '200'] = process.argv.slice(2);

const store = await openFromEnvironment();
// More threads than processors are slow, and that is what small machines get when nobody says.
const context = { threads: availableParallelism() };
const engine = await openLlama({ store, modelPath, context });
const session = new LlamaChatSession({ contextSequence: engine.getSequence() });

const answer = await session.prompt(question, { maxTokens: Number(maxTokens), temperature: 0 });
const { restoredTokens, prefilledTokens } = engine.statistics;
console.log(answer);
console.log(`${restoredTokens} tokens restored, ${prefilledTokens} computed`);

await engine.dispose();
await store.close();
