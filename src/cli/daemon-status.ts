import { messageOf, StoreError } from '../base/errors.ts';
import type { ObjectVerb, StoreStats, TierStats } from '../blocks/kv-store.ts';
import { connect, parseAddress } from '../client/connect.ts';
import { doorsFromEnvironment } from '../config/door-settings.ts';
import { credentialsOf, daemonUrl } from '../open-store.ts';
import { printJson } from './command-context.ts';
import type { CommandContext, OutputFlags } from './command-context.ts';
import { formatMoney, requestPrice } from './prices.ts';
import type { PriceFlags, Prices } from './prices.ts';
import { formatBytes, formatCount, formatPayloads } from './quantity.ts';
import type { Output } from './terminal.ts';
import { renderFacts, renderTable } from './text-table.ts';

/** Time for a daemon to say what it counts. */
const answerMs = 10_000;

/** The daemon that the flag names, or else the environment; undefined when neither does. */
export async function daemonAsked(
  { platform }: CommandContext,
  connectFlag: string | undefined,
): Promise<string | undefined> {
  if (connectFlag !== undefined) {
    checkAddress(connectFlag);
    return connectFlag;
  }
  const { environment, host } = platform;
  return daemonUrl(doorsFromEnvironment(environment, host.homeDirectory), platform);
}

function checkAddress(url: string): void {
  try {
    parseAddress(url);
  } catch (cause) {
    throw new StoreError('INVALID', `--connect: ${messageOf(cause)}`, { cause });
  }
}

/** Prints what a daemon says of itself. Resolves to the exit code. */
export async function daemonStatus(
  context: CommandContext,
  url: string,
  flags: OutputFlags & PriceFlags,
): Promise<number> {
  const stats = await askDaemon(context, url);
  const { write, read } = stats.object.billed;
  // Of a bucket that nobody is billed for there is nothing to price.
  const prices = flags.prices === 'off' || write + read === 0 ? undefined : flags.prices;
  const dollars = prices === undefined ? undefined : requestPrice(prices, stats.object.billed);
  if (flags.json === true) {
    printJson(context, { daemon: url, statistics: stats, cost: { prices, requests: dollars } });
    return 0;
  }
  const { results } = context.terminal;
  results.write(`${results.style('bold', 'Daemon')}  at ${url}\n\n`);
  results.write(tiersText(results, stats));
  results.write(missesText(results, stats));
  results.write(writesText(results, stats));
  results.write(objectText(results, stats, prices));
  return 0;
}

async function askDaemon({ platform }: CommandContext, url: string): Promise<StoreStats> {
  const { environment, host } = platform;
  const doors = doorsFromEnvironment(environment, host.homeDirectory);
  const client = await connect(url, await credentialsOf(doors, platform));
  try {
    return await client.stats({ deadlineMs: answerMs });
  } finally {
    await client.close();
  }
}

function tiersText(output: Output, { memory, disk, object }: StoreStats): string {
  const row = (name: string, { hits, hitBytes, entries, bytes, ...tier }: TierStats): string[] => [
    `  ${name}`,
    formatCount(hits),
    formatBytes(hitBytes),
    formatCount(entries),
    formatBytes(bytes),
    tier.budgetBytes === 0 ? '–' : formatBytes(tier.budgetBytes),
    formatCount(tier.evictions),
  ];
  const columns = [
    { title: '  tier', align: 'left' },
    ...['hits', 'hit bytes', 'entries', 'bytes', 'budget', 'evictions'].map((title) => ({
      ...{ title, align: 'right' as const },
    })),
  ] as const;
  const far = ['  object', formatCount(object.hits), formatBytes(object.hitBytes), '', '', '', ''];
  const rows = [row('memory', memory), row('disk', disk), far];
  return heading(output, 'Tiers') + renderTable(columns, rows, (text) => output.style('dim', text));
}

function missesText(output: Output, { misses, corrupt, damagedRecords }: StoreStats): string {
  const facts: (readonly [string, string])[] = Object.entries(misses)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => [reason, formatCount(count)] as const);
  if (facts.length === 0) facts.push(['none', '']);
  if (corrupt > 0) facts.push(['set aside', `${formatCount(corrupt)} payloads failed a check`]);
  if (damagedRecords > 0) {
    facts.push(['damaged', `${formatCount(damagedRecords)} records on disk`]);
  }
  return `\n${heading(output, 'Misses', 'by reason; docs/ERRORS.md')}${renderFacts(facts, '  ')}`;
}

function writesText(output: Output, stats: StoreStats): string {
  const facts: (readonly [string, string])[] = [
    ['accepted', formatPayloads(stats.saved, stats.savedBytes)],
    ['known before', formatCount(stats.known)],
    ['to upload', formatPayloads(stats.pending, stats.pendingBytes)],
    ['failed uploads', formatCount(stats.uploadFailures)],
    ['refused calls', formatCount(stats.refused)],
  ];
  if (stats.lastFailure !== undefined) facts.push(['last failure', stats.lastFailure]);
  return `\n${heading(output, 'Saves')}${renderFacts(facts, '  ')}`;
}

function objectText(output: Output, { object }: StoreStats, prices: Prices | undefined): string {
  const verbs: readonly ObjectVerb[] = ['put', 'get', 'head', 'list', 'delete'];
  const asked = verbs.map((verb) => `${formatCount(object.requests[verb])} ${verb}`).join(', ');
  const facts: (readonly [string, string])[] = [
    ['requests', asked],
    ['read', formatBytes(object.readBytes)],
    ['written', formatBytes(object.writtenBytes)],
  ];
  if (prices !== undefined) {
    facts.push(['price', `${formatMoney(requestPrice(prices, object.billed))} since it opened`]);
  }
  return `\n${heading(output, 'Object store')}${renderFacts(facts, '  ')}`;
}

function heading(output: Output, text: string, aside?: string): string {
  const end = aside === undefined ? '' : output.style('dim', `  (${aside})`);
  return `${output.style('bold', text)}${end}\n`;
}
