import type { Command } from 'commander';
import { StoreError } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { inspectDirectories } from '../cache/cache-directory.ts';
import { findInLog } from '../cache/log-audit.ts';
import { memoryObjectStoreUrl } from '../config/object-store-url.ts';
import type { ResolvedStoreConfig } from '../config/store-config.ts';
import { withBucket } from './bucket.ts';
import { chainHelp, readChain, withChainFlags } from './chain/chain-flags.ts';
import type { AskedChain, ChainFlags } from './chain/chain-flags.ts';
import { adviceOn } from './chain/miss-advice.ts';
import type { Warmed } from './chain/warm-chain.ts';
import { printJson, settingsInEffect, withJsonFlag, withStoreFlags } from './command-context.ts';
import type { CommandContext, OutputFlags, StoreFlags } from './command-context.ts';
import { formatMoney, pricesOf, requestPrice, withPriceFlag } from './prices.ts';
import type { PriceFlags } from './prices.ts';
import { Progress } from './progress.ts';
import { formatBytes, formatCount } from './quantity.ts';
import type { Output } from './terminal.ts';
import { renderTable, wrapText } from './text-table.ts';

interface WarmFlags extends ChainFlags, StoreFlags, OutputFlags, PriceFlags {}

/** Where the chain lies when the command has ended. */
interface OnDisk {
  /** Number of the sub-directory; undefined when it was given up to others meanwhile. */
  readonly part: number | undefined;
  readonly blocks: number;
  /** Sub-directories that living processes own: they do not see what was brought. */
  readonly inUse: readonly number[];
}

interface WarmReport {
  readonly config: ResolvedStoreConfig;
  readonly chain: AskedChain;
  readonly warmed: Warmed;
  readonly onDisk: OnDisk;
  readonly flags: WarmFlags;
}

const explanation = `${chainHelp}

It opens the store as an engine does, loads the chain up to the first block that cannot be had, and
leaves it in the disk tier: the next process that opens the store with this cache directory takes that
over. A process that runs already has a disk tier of its own and does not see it; it can call
prefetch() of the library. What earlier processes left to be uploaded is uploaded meanwhile, as by
every store. Exit code 1: a block could not be had, or the disk tier has no room for all of them.`;

export function addWarmCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  const command = program
    .command('warm')
    .description('bring the stored beginning of a prompt to this host ahead of use')
    .addHelpText('after', explanation);
  withJsonFlag(withStoreFlags(withPriceFlag(withChainFlags(command)))).action(
    async (keys: readonly string[], flags: WarmFlags) => finish(await warm(context, keys, flags)),
  );
}

async function warm(
  context: CommandContext,
  keys: readonly string[],
  flags: WarmFlags,
): Promise<number> {
  const { platform, terminal } = context;
  const config = settingsInEffect(context, flags);
  checkTiers(config);
  const progress = new Progress(terminal.notes, platform.clock);
  const interrupted = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void =>
    interrupted.abort(new StoreError('ABORTED', `warming was interrupted by ${signal}`));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    const chain = await readChain(context, keys, flags, progress);
    // Only this command and the demo need the store: the others start faster without.
    const { warmChain } = await import('./chain/warm-chain.ts');
    const fingerprint = chain.model?.fingerprint;
    const { signal } = interrupted;
    const wanted = { keys: chain.keys, fingerprint, signal };
    const warmed = await warmChain({ platform, config, progress, ...wanted });
    const onDisk = await findOnDisk(context, config, chain.keys);
    const report = { config, chain, warmed, onDisk, flags };
    if (flags.json === true) printJson(context, asJson(report));
    else terminal.results.write(reportText(terminal.results, report));
    return warmed.had === chain.keys.length && onDisk.blocks === chain.keys.length ? 0 : 1;
  } catch (error) {
    progress.fail();
    throw error;
  }
}

function checkTiers({ cacheDirectory, objectStore }: ResolvedStoreConfig): void {
  if (objectStore === memoryObjectStoreUrl) {
    throw new StoreError('INVALID', '--store: an object store in memory has nothing to bring');
  }
  if (cacheDirectory !== false) return;
  const message =
    'there is no disk tier to bring blocks to: WMBT_KV_PUFFER_DISK_BYTES is 0; accepted: more than 0';
  throw new StoreError('INVALID', message);
}

/** Counts the blocks in the logs of this host: the store that brought them is closed by now. */
async function findOnDisk(
  { platform }: CommandContext,
  config: ResolvedStoreConfig,
  keys: readonly BlockKey[],
): Promise<OnDisk> {
  const { cacheDirectory, keyPrefix } = config;
  if (cacheDirectory === false) return { part: undefined, blocks: 0, inUse: [] };
  const namespace = parseNamespace(config.namespace);
  return withBucket(platform, config, async ({ objects }) => {
    const identity = { url: objects.url, keyPrefix };
    const states = await inspectDirectories(platform, cacheDirectory, identity);
    const inUse = states.filter(({ state }) => state === 'alive').map(({ number }) => number);
    const own = states.find(({ owner, state }) => {
      return state === 'dead' && owner?.processId === platform.host.processId;
    });
    if (own === undefined) return { part: undefined, blocks: 0, inUse };
    const log = { platform, directory: own.path, identity, isDeep: false };
    const found = await findInLog({ ...log, namespace, keys: new Set(keys) });
    return { part: own.number, blocks: found.size, inUse };
  });
}

const tierNames = { memory: 'memory', disk: 'disk', object: 'object store' } as const;

function reportText(output: Output, report: WarmReport): string {
  const { chain, warmed, config, onDisk } = report;
  const { had, reason, byTier } = warmed;
  const columns = [
    { title: 'from', align: 'left' },
    { title: 'blocks', align: 'right' },
    { title: 'bytes', align: 'right' },
  ] as const;
  const tiers = ['memory', 'disk', 'object'] as const;
  const rows = tiers
    .filter((tier) => byTier[tier].blocks > 0)
    .map((tier) => [
      tierNames[tier],
      formatCount(byTier[tier].blocks),
      formatBytes(byTier[tier].bytes),
    ]);
  const table =
    rows.length === 0 ? '' : renderTable(columns, rows, (text) => output.style('bold', text));
  const all = formatCount(chain.keys.length);
  const lines = [`${formatCount(had)} of ${all} blocks brought, by ${requestsOf(report)}`];
  if (onDisk.part !== undefined) {
    lines.push(`${formatCount(onDisk.blocks)} of ${all} on disk, in cache part ${onDisk.part}`);
  }
  const width = Math.min(output.columns, 100);
  const why =
    reason === undefined
      ? ''
      : `block ${had}: ${output.style('red', reason)}\n${wrapText(adviceOn(reason, config), width, '  ')}`;
  const notes = notesOf(report).map((note) => wrapText(note, width));
  return `${table}${lines.join('\n')}\n${why}${notes.join('')}`;
}

function notesOf({ warmed, onDisk, config, chain }: WarmReport): readonly string[] {
  const notes: string[] = [];
  if (chain.keys.length === 0) notes.push('The prompt is shorter than a block: nothing to bring.');
  if (onDisk.part === undefined && warmed.had > 0) {
    notes.push(
      'No part of the cache is left from this command: all of them are taken, or another process ' +
        'took over the one that it used. wombatkv status shows who owns which.',
    );
  } else if (onDisk.blocks < warmed.had) {
    notes.push(
      `The disk tier has ${formatBytes(config.diskBytes)} (WMBT_KV_PUFFER_DISK_BYTES), and no room ` +
        'for all of it.',
    );
  }
  const others = onDisk.inUse.filter((part) => part !== onDisk.part);
  if (others.length > 0) {
    const part = others.map(String).join(', ');
    notes.push(
      `Cache part ${part} is in use by a process, which does not see what was brought: that is for ` +
        'the next process that is started beside it.',
    );
  }
  return notes;
}

function requestsOf({ warmed, config, flags }: WarmReport): string {
  const { requests, billed, readBytes } = warmed.stats.object;
  const asked = Object.entries(requests).filter(([, count]) => count > 0);
  if (asked.length === 0) return 'no request';
  const counts = asked.map(([verb, count]) => `${formatCount(count)} ${verb}`).join(', ');
  const prices = pricesOf(config.objectStore, flags);
  const price = prices === undefined ? '' : `, ${formatMoney(requestPrice(prices, billed))}`;
  return `${counts}; ${formatBytes(readBytes)} read${price}`;
}

function asJson({ config, chain, warmed, onDisk, flags }: WarmReport): unknown {
  const { had, reason, byTier, stats } = warmed;
  const prices = pricesOf(config.objectStore, flags);
  return {
    objectStore: config.objectStore,
    namespace: config.namespace,
    ...{ blocks: chain.keys.length, had, reason },
    advice: reason === undefined ? undefined : adviceOn(reason, config),
    ...{ byTier, onDisk },
    object: stats.object,
    costDollars: prices === undefined ? undefined : requestPrice(prices, stats.object.billed),
  };
}
