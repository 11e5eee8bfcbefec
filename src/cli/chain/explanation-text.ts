import type { ResolvedStoreConfig } from '../../config/store-config.ts';
import type { ObjectStoreMeter } from '../../objectstore/metered-object-store.ts';
import { formatMoney, pricesOf, requestPrice } from '../prices.ts';
import type { PriceFlags } from '../prices.ts';
import { formatBytes, formatCount, formatDuration } from '../quantity.ts';
import type { Output } from '../terminal.ts';
import { renderFacts, renderTable, wrapText } from '../text-table.ts';
import type { AskedChain } from './chain-flags.ts';
import type { ChainLook, LocalCopy } from './chain-look.ts';
import type { BlockRun, Explanation, Wish } from './explanation.ts';
import type { SeenFingerprint } from './fingerprint-sample.ts';
import { adviceOn } from './miss-advice.ts';
import type { Worth } from './model-look.ts';

/** Everything that `explain` found. */
export interface ExplainReport {
  readonly config: ResolvedStoreConfig;
  readonly chain: AskedChain;
  readonly look: ChainLook;
  readonly wish: Wish;
  readonly worth: Worth | undefined;
  readonly explanation: Explanation;
  /** Models of the namespace, when nothing of the chain is stored in it. */
  readonly others: readonly SeenFingerprint[];
  readonly meter: ObjectStoreMeter | undefined;
  readonly flags: PriceFlags;
}

const keyDigits = 16;

export function explanationText(output: Output, report: ExplainReport): string {
  const { chain, explanation } = report;
  const { had, reason } = explanation;
  const columns = Math.min(output.columns, 100);
  const paragraphs = [headOf(output, report), modelText(output, report)];
  if (chain.keys.length > 0) paragraphs.push(runsText(output, explanation.runs));
  if (reason !== undefined) {
    const where = had < chain.keys.length ? `block ${had}: ` : '';
    const title = `${where}${output.style('red', reason)}`;
    const { detail } = explanation;
    const lines = detail === undefined ? '' : wrapText(detail, columns, '  ');
    paragraphs.push(
      `${title}\n${lines}${wrapText(adviceOn(reason, report.config), columns, '  ')}`,
    );
  }
  paragraphs.push(
    notesOf(report)
      .map((note) => wrapText(note, columns))
      .join(''),
  );
  paragraphs.push(askedText(report));
  return paragraphs.filter((text) => text !== '').join('\n');
}

function headOf(output: Output, { chain, config, explanation }: ExplainReport): string {
  const { keys, source, blockTokens } = chain;
  const all = formatCount(keys.length);
  const count =
    explanation.had === keys.length
      ? output.style('green', `all ${all} blocks can be had`)
      : `${formatCount(explanation.had)} of ${all} blocks can be had`;
  const size = blockTokens === undefined ? '' : ` of ${formatCount(blockTokens)} tokens`;
  const verdict =
    keys.length === 0 ? `less than a block${size}: none is stored or asked for` : count;
  return renderFacts([
    ['chain', source],
    ['namespace', config.namespace],
    ['object store', config.objectStore],
    ['result', verdict],
  ]);
}

function modelText(output: Output, { chain, wish, worth }: ExplainReport): string {
  const { model } = chain;
  if (model === undefined) {
    return wish.fingerprint === undefined ? '' : renderFacts([['fingerprint', wish.fingerprint]]);
  }
  const facts: (readonly [string, string])[] = [
    ['model', model.name],
    ['fingerprint', model.fingerprint],
    ['seed input', model.seedInput],
    ['seed', model.seed],
  ];
  if (worth !== undefined) {
    const verdict = worth.isWorthIt ? 'worth restoring' : 'not worth restoring';
    const prefill = `about ${formatDuration(worth.prefillMs)} to compute`;
    const size = `${formatBytes(worth.bytes)} to bring`;
    facts.push(['expected', `${verdict}: ${prefill}, ${size} (before anything was measured)`]);
  }
  const ingredients = model.ingredients.map((line): readonly [string, string] => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1)];
  });
  const title = output.style('dim', 'the fingerprint is made of');
  return `${renderFacts(facts)}${title}\n${renderFacts(ingredients, '  ')}`;
}

function runsText(output: Output, runs: readonly BlockRun[]): string {
  const columns = [
    { title: 'blocks', align: 'right' },
    { title: 'where', align: 'left' },
    { title: 'upload', align: 'left' },
    { title: 'first key', align: 'left' },
  ] as const;
  const rows = runs.map(({ from, to, place, durability }) => [
    from === to ? formatCount(from) : `${formatCount(from)}–${formatCount(to)}`,
    placesOf(place),
    uploads[durability],
    place.key.slice(0, keyDigits),
  ]);
  return renderTable(columns, rows, (text) => output.style('bold', text));
}

const uploads: Readonly<Record<BlockRun['durability'], string>> = {
  durable: 'durable',
  pending: 'pending',
  gone: 'object gone',
  none: '–',
  unknown: 'not known',
};

function placesOf({ local, object }: BlockRun['place']): string {
  const copies = local.map(({ tier, part, isInUse, isIntact }) => {
    const facts = [
      `part ${part}`,
      ...(isInUse ? ['in use'] : []),
      ...(isIntact ? [] : ['damaged']),
    ];
    return `${tier} (${facts.join(', ')})`;
  });
  const said = objectTexts[object.state];
  return [...copies, ...(said === undefined ? [] : [said])].join(', ') || 'nowhere';
}

const objectTexts: Readonly<Record<BlockRun['place']['object']['state'], string | undefined>> = {
  there: 'object store',
  absent: undefined,
  damaged: 'object store (damaged)',
  newer: 'object store (of a newer version)',
  deadline: 'object store (no answer in time)',
  unavailable: 'object store (does not answer)',
  unasked: 'object store (not asked any more)',
};

/** What helps to understand the reason. */
function notesOf(report: ExplainReport): readonly string[] {
  const { look, config, explanation, chain, others, wish } = report;
  const notes: string[] = [];
  const { firstAnswerMs } = look;
  if (firstAnswerMs !== undefined && firstAnswerMs > config.lookupDeadlineMs) {
    notes.push(
      `The object store took ${formatDuration(firstAnswerMs)} for its first answer. A lookup waits ` +
        `${formatDuration(config.lookupDeadlineMs)} (WMBT_KV_LOOKUP_DEADLINE_MS): of what only the ` +
        'object store has it may find nothing, with reason deadline.',
    );
  }
  const isAbsent = explanation.reason === 'unknown' || explanation.reason === 'evicted';
  if (isAbsent && explanation.laterStored > 0) {
    const blocks = formatCount(explanation.laterStored);
    notes.push(
      `Behind it ${blocks} of the blocks are stored: a save is under way, was cut off by the end of ` +
        'its host, or this block was removed by key. They serve again when it is saved.',
    );
  }
  notes.push(...placeNotes(explanation.runs));
  for (const path of look.unreadable) notes.push(`This part of the cache cannot be read: ${path}`);
  if (others.length > 0) notes.push(othersText(others, wish.fingerprint));
  else if (explanation.had === 0 && explanation.reason === 'unknown') {
    notes.push(`Namespace ${JSON.stringify(config.namespace)} holds nothing in the object store.`);
  }
  if (chain.model !== undefined) {
    notes.push('Tails, which hold the tokens past the last whole block, are not looked at.');
  }
  return notes;
}

/** What places mean that are not durable. */
function placeNotes(runs: readonly BlockRun[]): readonly string[] {
  const notes: string[] = [];
  if (runs.some(({ durability }) => durability === 'pending')) {
    notes.push(
      'What is pending is held by one process of this host: other hosts find it when it is ' +
        'uploaded, by that process or the next one here.',
    );
  }
  if (runs.some(({ place }) => place.local.some(({ tier }) => tier === 'memory'))) {
    notes.push(
      'What is in memory was accepted there by a store of this host, and is in no file yet: its process ' +
        'writes it to the log, or the next store here takes it over. It goes when the machine does.',
    );
  }
  return notes;
}

function othersText(others: readonly SeenFingerprint[], own: string | undefined): string {
  const seen = others.map(({ fingerprint, objects }) => {
    const name = fingerprint === undefined ? 'none named' : fingerprint.slice(0, keyDigits);
    const mark = fingerprint !== undefined && fingerprint === own ? ' (the one asked for)' : '';
    return `${name}${mark} in ${formatCount(objects)}`;
  });
  const text = `Fingerprints in the first objects of the namespace: ${seen.join(', ')}.`;
  const isKnown = others.some(({ fingerprint }) => fingerprint === own);
  if (own === undefined || isKnown) return text;
  return (
    `${text} None is ${own.slice(0, keyDigits)}: if this prompt was saved, it was with another ` +
    'model file, engine release, KV type, flash attention, RoPE or LoRA. Which of them differs ' +
    'cannot be told from a hash; compare the list above with that of the engine that saved.'
  );
}

function askedText({ meter, config, flags }: ExplainReport): string {
  if (meter === undefined) return '';
  const asked = Object.entries(meter.requests).filter(([, count]) => count > 0);
  if (asked.length === 0) return '';
  const requests = asked.map(([verb, count]) => `${formatCount(count)} ${verb}`).join(', ');
  const prices = pricesOf(config.objectStore, flags);
  const price = prices === undefined ? '' : `, ${formatMoney(requestPrice(prices, meter.billed))}`;
  return `this look: ${requests}, ${formatBytes(meter.readBytes)} read${price}\n`;
}

/** The document of `--json`. */
export function explanationJson(report: ExplainReport): unknown {
  const { config, chain, explanation, look, worth, others, meter, flags } = report;
  const { had, reason, detail, laterStored, runs } = explanation;
  const { model } = chain;
  const prices = pricesOf(config.objectStore, flags);
  const cost =
    prices === undefined || meter === undefined ? undefined : requestPrice(prices, meter.billed);
  return {
    objectStore: config.objectStore,
    namespace: config.namespace,
    ...{ tokens: chain.tokens, blockTokens: chain.blockTokens },
    ...{ blocks: chain.keys.length, had, reason, detail, laterStored },
    advice: reason === undefined ? undefined : adviceOn(reason, config),
    notes: notesOf(report),
    runs: runs.map(({ from, to, place, durability }) => ({
      ...{ from, to, durability, objectStore: place.object.state },
      disk: copiesOf(place.local, 'disk'),
      memory: copiesOf(place.local, 'memory'),
    })),
    firstAnswerMs: look.firstAnswerMs,
    model: model === undefined ? undefined : modelJson(model),
    ...{ worth, otherFingerprints: others, meter, costDollars: cost },
  };
}

function copiesOf(
  copies: readonly LocalCopy[],
  tier: LocalCopy['tier'],
): readonly Pick<LocalCopy, 'part' | 'isInUse' | 'isPending' | 'isIntact'>[] {
  return copies
    .filter((copy) => copy.tier === tier)
    .map(({ part, isInUse, isPending, isIntact }) => ({ part, isInUse, isPending, isIntact }));
}

function modelJson(model: NonNullable<AskedChain['model']>): unknown {
  const { name, fingerprint, seedInput, seed, ingredients } = model;
  return { name, fingerprint, seedInput, seed, ingredients };
}
