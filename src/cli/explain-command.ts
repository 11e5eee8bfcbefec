import type { Command } from 'commander';
import { StoreError } from '../base/errors.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { ResolvedStoreConfig } from '../config/store-config.ts';
import { withBucket } from './bucket.ts';
import { chainHelp, readChain, withChainFlags } from './chain/chain-flags.ts';
import type { AskedChain, ChainFlags } from './chain/chain-flags.ts';
import { lookAtChain } from './chain/chain-look.ts';
import { explain } from './chain/explanation.ts';
import { explanationJson, explanationText } from './chain/explanation-text.ts';
import type { ExplainReport } from './chain/explanation-text.ts';
import { sampleFingerprints } from './chain/fingerprint-sample.ts';
import { printJson, settingsInEffect, withJsonFlag, withStoreFlags } from './command-context.ts';
import type { CommandContext, OutputFlags, StoreFlags } from './command-context.ts';
import { Progress } from './progress.ts';
import { withPriceFlag } from './prices.ts';
import type { PriceFlags } from './prices.ts';

interface ExplainFlags extends ChainFlags, StoreFlags, OutputFlags, PriceFlags {
  readonly fingerprint?: string;
  readonly exact?: boolean;
  readonly quick?: boolean;
}

const explanation = `${chainHelp}

For each block it looks into the caches of this host and asks the object store, and for the first that
cannot be had it says why. Payloads are read and checked as a load does, within the time of a load
(WMBT_KV_LOAD_DEADLINE_MS); --quick reads headers only, at 4 KiB a block. It changes nothing. What a
store accepted in shared memory alone is found there, also when its process is gone; what lies in other
memory of running processes is on disk or in the object store too. Exit code 1: the chain is not restored
whole.`;

export function addExplainCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  const command = program
    .command('explain')
    .description('say where each block of a prompt is, and why one is missing')
    .option('--fingerprint <hex>', "the model's fingerprint, which blocks must not contradict")
    .option('--exact', 'take blocks with decoded tokens for missing, as an exact load does')
    .option('--quick', 'read headers of objects, not their payloads')
    .addHelpText('after', explanation);
  withJsonFlag(withStoreFlags(withPriceFlag(withChainFlags(command)))).action(
    async (keys: readonly string[], flags: ExplainFlags) =>
      finish(await explainChain(context, keys, flags)),
  );
}

async function explainChain(
  context: CommandContext,
  keys: readonly string[],
  flags: ExplainFlags,
): Promise<number> {
  const { platform, terminal } = context;
  const config = settingsInEffect(context, flags);
  checkFingerprint(flags.fingerprint);
  const progress = new Progress(terminal.notes, platform.clock);
  try {
    const chain = await readChain(context, keys, flags, progress);
    const report = await reportOn(context, { config, chain, flags, progress });
    if (flags.json === true) printJson(context, explanationJson(report));
    else terminal.results.write(explanationText(terminal.results, report));
    return report.explanation.reason === undefined ? 0 : 1;
  } catch (error) {
    progress.fail();
    throw error;
  }
}

interface Question {
  readonly config: ResolvedStoreConfig;
  readonly chain: AskedChain;
  readonly flags: ExplainFlags;
  readonly progress: Progress;
}

async function reportOn(
  { platform }: CommandContext,
  { config, chain, flags, progress }: Question,
): Promise<ExplainReport> {
  const { cacheDirectory, loadDeadlineMs } = config;
  const { keys, model } = chain;
  const namespace: Namespace = parseNamespace(config.namespace);
  const fingerprint = flags.fingerprint?.toLowerCase() ?? model?.fingerprint;
  const wish = { fingerprint, exact: flags.exact };
  const worth = model?.worthOf(Math.max(0, model.tokens.length - 1));
  return withBucket(platform, config, async (bucket) => {
    const isDeep = flags.quick !== true;
    const wanted = { keys, namespace, cacheDirectory, loadDeadlineMs, isDeep };
    const look = await lookAtChain({ platform, bucket, progress, ...wanted });
    const found = explain(look.places, wish, worth);
    const isUnknown = found.had === 0 && found.reason === 'unknown';
    const others = isUnknown ? await sampleFingerprints(bucket, namespace) : [];
    const meter = bucket.meter?.();
    return { config, chain, look, wish, worth, explanation: found, others, meter, flags };
  });
}

function checkFingerprint(text: string | undefined): void {
  if (text === undefined || /^[0-9a-f]{64}$/i.test(text)) return;
  const got = JSON.stringify(text);
  throw new StoreError('INVALID', `--fingerprint must be 64 hex characters; got ${got}`);
}
