import { LlamaChatSession, LlamaGrammar } from 'node-llama-cpp';
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import type { ChatRun, EngineRun, PromptRun, RunResult } from './engine-job.ts';

/** Does runs on the sequences of an engine, and records what the engine says. */
export class EngineRuns {
  readonly #sequences: readonly LlamaContextSequence[];
  /** On the first sequence, made when first asked for. */
  #session: LlamaChatSession | undefined;

  constructor(sequences: readonly LlamaContextSequence[]) {
    this.#sequences = sequences;
  }

  do(run: EngineRun): Promise<RunResult> {
    return run.kind === 'chat' ? this.#doChat(run) : this.#doPrompt(run);
  }

  async #doPrompt(run: PromptRun): Promise<RunResult> {
    const sequence = this.#sequences[run.sequence ?? 0];
    const prompt = run.prompt as Token[];
    const recorder = new Recorder();
    if (run.continues === true) await sequence.adaptStateToTokens(prompt.slice(0, -1), false);
    else await sequence.clearHistory();
    if (run.count === 0) {
      await sequence.evaluateWithoutGeneratingNewTokens(prompt);
      return recorder.result(sequence);
    }
    const rest = prompt.slice(sequence.nextTokenIndex);
    const options = { temperature: 0, yieldEogToken: true };
    const items = sequence.evaluateWithMetadata(rest, { probabilities: true }, options);
    for await (const { token, probabilities } of items) {
      recorder.add(token, probabilities);
      if (recorder.count === run.count) break;
    }
    return recorder.result(sequence);
  }

  async #doChat(run: ChatRun): Promise<RunResult> {
    const [contextSequence] = this.#sequences;
    this.#session ??= new LlamaChatSession({ contextSequence });
    if (run.history !== undefined) this.#session.setChatHistory([...run.history]);
    const { llama } = contextSequence.model;
    const recorder = new Recorder();
    await this.#session.prompt(run.text, {
      temperature: 0,
      // Text that has the same tokens again when the next turn takes it from the history.
      grammar: new LlamaGrammar(llama, { grammar: 'root ::= [a-z]*' }),
      maxTokens: run.count,
      onToken: (tokens) => tokens.forEach((token) => recorder.add(token)),
    });
    return { ...recorder.result(contextSequence), history: this.#session.getChatHistory() };
  }
}

/** Tokens as they come, with the probabilities behind them in the order of the vocabulary. */
class Recorder {
  readonly #tokens: number[] = [];
  readonly #probabilities: Float32Array[] = [];

  get count(): number {
    return this.#tokens.length;
  }

  add(token: Token, probabilities?: ReadonlyMap<Token, number>): void {
    this.#tokens.push(token);
    if (probabilities === undefined) return;
    const row = new Float32Array(probabilities.size);
    for (const [candidate, probability] of probabilities) row[candidate] = probability;
    this.#probabilities.push(row);
  }

  result(sequence: LlamaContextSequence): RunResult {
    const bytes = this.#probabilities.map((row) => Buffer.from(row.buffer));
    return {
      tokens: this.#tokens,
      probabilities: Buffer.concat(bytes).toString('base64'),
      held: sequence.contextTokens,
    };
  }
}
