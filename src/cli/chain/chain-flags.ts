import { resolve } from 'node:path';
import type { Command } from 'commander';
import { messageOf, StoreError, systemErrorCode } from '../../base/errors.ts';
import { parseBlockKey } from '../../blocks/block-key.ts';
import type { BlockKey } from '../../blocks/block-key.ts';
import { limits } from '../../blocks/limits.ts';
import { isBlockTokens, Prefix, seedOf } from '../../blocks/prefix.ts';
import type { Files } from '../../platform/files.ts';
import type { CommandContext } from '../command-context.ts';
import { wholeNumberFlag } from '../command-context.ts';
import type { Progress } from '../progress.ts';
import { formatCount } from '../quantity.ts';
import type { ModelLook } from './model-look.ts';

/** Flags that say which chain is meant. */
export interface ChainFlags {
  readonly chain?: string;
  readonly tokenFile?: string;
  readonly seedInput?: string;
  readonly prompt?: string;
  readonly text?: string;
  readonly model?: string;
  readonly context?: string;
  readonly specialTokens?: boolean;
  readonly blockTokens: number;
}

/** The chain that a command was asked about. */
export interface AskedChain {
  readonly keys: readonly BlockKey[];
  /** What it was made from, for who reads it. */
  readonly source: string;
  /** Tokens of the prompt, and of a block; undefined when only keys were given. */
  readonly tokens: number | undefined;
  readonly blockTokens: number | undefined;
  /** What was found out about the model; undefined when none was given. */
  readonly model: ModelLook | undefined;
}

/** A file of keys is 65 bytes a line, one of tokens about seven a token. */
const inputBytesMax = 16 * 1024 * 1024;

/** How a chain is named, for the help of each command that takes one. */
export const chainHelp = `
The chain is named in one of three ways:

  KEY...                          block keys in chain order, or --chain with a file of them, one a
                                  line; blank lines and lines that begin with # are left out
  --token-file FILE --seed-input TEXT
                                  token numbers between blanks or commas, and what the seed of the
                                  chain is hashed from, such as WMBTBLK1|…
  --prompt FILE --model GGUF      a prompt as text (or --text TEXT), in the tokens of the model, and
                                  the identity that the adapter for llama.cpp gives it. The text is
                                  taken as it stands: a chat session wraps it in a template of its own.`;

/** Adds the flags of {@link ChainFlags}. */
export function withChainFlags(command: Command): Command {
  return command
    .argument('[keys...]', 'block keys of a chain, 64 hex digits each')
    .option('--chain <file>', 'file with the block keys, one a line')
    .option('--token-file <file>', 'file with the token numbers of a prompt')
    .option('--seed-input <text>', 'what the seed of the chain is hashed from, with --token-file')
    .option('--prompt <file>', 'file with a prompt, with --model')
    .option('--text <text>', 'the prompt itself, with --model')
    .option('--model <path>', 'the model, a GGUF file')
    .option(
      '--context <json>',
      'options of the context as given to openLlama, such as {"flashAttention":true}',
    )
    .option('--special-tokens', 'read special tokens such as <|im_start|> in the prompt as such')
    .option(
      '--block-tokens <count>',
      'tokens of a block',
      wholeNumberFlag('--block-tokens', 1),
      limits.blockTokensUnit,
    );
}

/**
 * The chain that arguments and flags name.
 *
 * @throws StoreError `INVALID` naming what is missing, too much or malformed.
 */
export async function readChain(
  context: CommandContext,
  keys: readonly string[],
  flags: ChainFlags,
  progress: Progress,
): Promise<AskedChain> {
  checkCombination(keys, flags);
  const { files } = context.platform;
  if (flags.tokenFile !== undefined) return chainOfTokens(files, flags);
  if (flags.model !== undefined) return chainOfPrompt(context, flags, progress);
  const isFile = flags.chain !== undefined;
  const texts = isFile ? await linesOf(files, '--chain', flags.chain) : keys;
  const source = isFile ? `the keys in ${flags.chain}` : 'the keys given';
  const parsed = parseKeys(isFile ? flags.chain : 'the command line', texts);
  const nothing = { tokens: undefined, blockTokens: undefined, model: undefined };
  return { keys: parsed, source, ...nothing };
}

/** Exactly one way, and with it what belongs to it. */
function checkCombination(keys: readonly string[], flags: ChainFlags): void {
  const ways = [
    ...(keys.length > 0 ? ['block keys'] : []),
    ...(flags.chain === undefined ? [] : ['--chain']),
    ...(flags.tokenFile === undefined ? [] : ['--token-file']),
    ...(flags.prompt === undefined ? [] : ['--prompt']),
    ...(flags.text === undefined ? [] : ['--text']),
  ];
  if (ways.length !== 1) {
    const accepted = 'accepted: one of block keys, --chain, --token-file, --prompt, --text';
    const got = ways.length === 0 ? 'no chain is named' : `${ways.join(' and ')} name a chain each`;
    throw invalid(`${got}; ${accepted}`);
  }
  if (flags.prompt !== undefined || flags.text !== undefined) checkPromptFlags(ways[0], flags);
  else if (flags.model !== undefined) {
    throw invalid(`--model is of use with --prompt or --text, not with ${ways[0]}`);
  }
  checkTokenFlags(ways[0], flags);
}

function checkPromptFlags(way: string, flags: ChainFlags): void {
  if (flags.model !== undefined) return;
  throw invalid(`${way} needs --model: the tokens of a text depend on the model`);
}

function checkTokenFlags(
  way: string,
  { tokenFile, seedInput = '', blockTokens }: ChainFlags,
): void {
  if (tokenFile !== undefined && seedInput === '') {
    throw invalid('--token-file needs --seed-input: keys hash the identity of the model first');
  }
  if (tokenFile === undefined && seedInput !== '') {
    throw invalid(`--seed-input is of use with --token-file, not with ${way}`);
  }
  if (!isBlockTokens(blockTokens)) {
    const accepted = `a multiple of ${limits.blockTokensUnit} up to ${limits.blockTokensMax}`;
    throw invalid(`--block-tokens must be ${accepted}; got ${blockTokens}`);
  }
}

async function chainOfTokens(files: Files, flags: ChainFlags): Promise<AskedChain> {
  const { tokenFile = '', seedInput = '', blockTokens } = flags;
  const text = await readText(files, '--token-file', tokenFile);
  const tokens = parseTokens(tokenFile, text);
  const prefix = new Prefix(seedOf(seedInput), blockTokens);
  prefix.append(tokens);
  return {
    keys: checkCount(tokenFile, prefix.keys),
    source: `${formatCount(tokens.length)} tokens of ${tokenFile}`,
    tokens: tokens.length,
    blockTokens,
    model: undefined,
  };
}

async function chainOfPrompt(
  { platform }: CommandContext,
  flags: ChainFlags,
  progress: Progress,
): Promise<AskedChain> {
  const { prompt, text, model = '', blockTokens } = flags;
  const given =
    prompt === undefined ? (text ?? '') : await readText(platform.files, '--prompt', prompt);
  const contextOptions = parseContext(flags.context);
  const modelPath = resolve(model);
  const isThere = (await platform.files.status(modelPath)) !== undefined;
  if (!isThere) throw invalid(`--model: there is no file ${modelPath}`);
  // The engine is loaded only by those who ask with a model.
  const { lookAtModel } = await import('./model-look.ts');
  progress.begin(`loading ${model}`);
  const look = await lookAtModel({
    ...{ modelPath, contextOptions, blockTokens, text: given },
    hasSpecialTokens: flags.specialTokens === true,
  });
  progress.end(`${formatCount(look.tokens.length)} tokens of prompt`);
  const prefix = new Prefix(look.seed, blockTokens);
  // The engine computes the last token in any case, and asks for what lies before it.
  prefix.append(look.tokens.slice(0, -1));
  return {
    keys: checkCount('the prompt', prefix.keys),
    source: `${formatCount(look.tokens.length)} tokens of ${prompt ?? 'the text'}`,
    tokens: look.tokens.length,
    blockTokens,
    model: look,
  };
}

function parseContext(text: string | undefined): Readonly<Record<string, unknown>> {
  if (text === undefined) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(`--context must be a JSON object; got ${JSON.stringify(text)}`, cause);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw invalid(`--context must be a JSON object; got ${JSON.stringify(text)}`);
}

function parseKeys(source: string | undefined, texts: readonly string[]): readonly BlockKey[] {
  const place = source ?? '';
  const seen = new Set<BlockKey>();
  for (const [index, text] of texts.entries()) {
    let key: BlockKey;
    try {
      key = parseBlockKey(text);
    } catch (cause) {
      throw invalid(`key ${index + 1} of ${place}: ${messageOf(cause)}`, cause);
    }
    if (seen.has(key)) throw invalid(`key ${index + 1} of ${place} is there twice: ${key}`);
    seen.add(key);
  }
  if (seen.size === 0) throw invalid(`${place} names no block key`);
  return checkCount(place, [...seen]);
}

function checkCount(source: string, keys: readonly BlockKey[]): readonly BlockKey[] {
  if (keys.length <= limits.keysPerCallMax) return keys;
  throw invalid(`${source} has ${keys.length} blocks; at most ${limits.keysPerCallMax} are taken`);
}

/** Whole numbers between blanks, commas or the brackets of a JSON array. */
function parseTokens(path: string, text: string): readonly number[] {
  const words = text.split(/[\s,[\]]+/).filter((word) => word !== '');
  if (words.length === 0) throw invalid(`--token-file: ${path} holds no token`);
  return words.map((word, index) => {
    const token = /^-?\d{1,10}$/.test(word) ? Number(word) : Number.NaN;
    if (token === (token | 0)) return token;
    const got = JSON.stringify(word.slice(0, 40));
    throw invalid(`--token-file: token ${index + 1} of ${path} is no 32-bit number: ${got}`);
  });
}

async function linesOf(files: Files, flag: string, path: string | undefined): Promise<string[]> {
  const lines = (await readText(files, flag, path ?? '')).split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

async function readText(files: Files, flag: string, path: string): Promise<string> {
  const absolute = resolve(path);
  try {
    return new TextDecoder().decode(await files.readSmall(absolute, inputBytesMax));
  } catch (cause) {
    if (systemErrorCode(cause) === undefined) throw cause;
    throw invalid(`${flag}: ${absolute} cannot be read: ${messageOf(cause)}`, cause);
  }
}

function invalid(message: string, cause?: unknown): StoreError {
  return new StoreError('INVALID', message, { cause });
}
