import type { Command } from 'commander';
import { StoreError } from '../base/errors.ts';
import { isBucketUrl } from '../config/object-store-url.ts';

/** What an object store asks for, in dollars. */
export interface Prices {
  /** 1,000 requests of the dear class: put, list, every step of an upload. */
  readonly write: number;
  /** 1,000 requests of the cheap class: get, head. */
  readonly read: number;
  /** A GiB for a month. */
  readonly storage: number;
}

/**
 * List prices of AWS for S3 Standard in us-east-1, its first 50 TB. AWS counts a GB as 2^30 bytes.
 * Traffic out of the region has a price of its own and is in none of these figures.
 */
export const listPrices: Prices = { write: 0.005, read: 0.0004, storage: 0.023 };

/** What a flag sets: prices, or `off`. */
export interface PriceFlags {
  readonly prices: Prices | 'off';
}

const names = ['write', 'read', 'storage'] as const;
const accepted = 'off, or write=…,read=…,storage=… in dollars (1,000 requests, and a GiB-month)';
const gib = 1024 ** 3;

/** Adds the flag of {@link PriceFlags}. */
export function withPriceFlag(command: Command): Command {
  const { write, read, storage } = listPrices;
  return command.option('--prices <list>', `what a bucket costs: ${accepted}`, parsePrices, {
    write,
    read,
    storage,
  });
}

/** The prices that hold for an object store: a directory sends no bill. */
export function pricesOf(objectStore: string, { prices }: PriceFlags): Prices | undefined {
  return prices === 'off' || !isBucketUrl(objectStore) ? undefined : prices;
}

/** Dollars for requests. */
export function requestPrice(
  { write, read }: Prices,
  billed: Readonly<Record<'write' | 'read', number>>,
): number {
  return (billed.write * write + billed.read * read) / 1000;
}

/** Dollars a month for stored bytes. */
export function storagePrice({ storage }: Prices, bytes: number): number {
  return (bytes / gib) * storage;
}

/** `$12.30`, `$0.0042`, `less than $0.0001` */
export function formatMoney(dollars: number): string {
  if (dollars === 0) return '$0';
  if (dollars < 0.0001) return 'less than $0.0001';
  return `$${dollars.toFixed(dollars < 1 ? 4 : 2)}`;
}

/** Prices that are left out are those of the list. */
export function parsePrices(text: string): Prices | 'off' {
  if (text === 'off') return 'off';
  const prices: Record<keyof Prices, number> = { ...listPrices };
  for (const part of text.split(',')) {
    const [, name = '', amount = ''] = /^(\w+)=(\d{1,9}(?:\.\d{1,9})?)$/.exec(part.trim()) ?? [];
    const known = names.find((one) => one === name);
    if (known === undefined) {
      const got = JSON.stringify(text);
      throw new StoreError('INVALID', `--prices must be ${accepted}; got ${got}`);
    }
    prices[known] = Number(amount);
  }
  return prices;
}
