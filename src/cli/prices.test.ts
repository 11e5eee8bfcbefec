import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isStoreError } from '../base/errors.ts';
import {
  formatMoney,
  listPrices,
  parsePrices,
  pricesOf,
  requestPrice,
  storagePrice,
} from './prices.ts';

// By hand: 2,000 puts at $0.005 for 1,000 and 500,000 gets at $0.0004 are $0.01 + $0.20.
test('requests and bytes cost what the list says', () => {
  const close = (actual: number, expected: number): void => {
    assert.ok(Math.abs(actual - expected) < 1e-9, `${actual}, not ${expected}`);
  };
  close(requestPrice(listPrices, { write: 2000, read: 500_000 }), 0.21);
  close(storagePrice(listPrices, 100 * 1024 ** 3), 2.3);
});

test('prices are set one by one, or switched off', () => {
  assert.deepEqual(parsePrices('write=0.01, storage=0'), {
    ...{ write: 0.01, read: 0.0004, storage: 0 },
  });
  assert.equal(pricesOf('s3://wombat', { prices: parsePrices('off') }), undefined);
  assert.equal(pricesOf('file:///srv/objects', { prices: listPrices }), undefined);
  assert.equal(pricesOf('s3://wombat', { prices: listPrices }), listPrices);
  for (const text of ['', 'cheap', 'write=', 'write=-1', 'traffic=0.09', 'write=0.01;read=1']) {
    assert.throws(
      () => parsePrices(text),
      (error: unknown) =>
        isStoreError(error, 'INVALID') && /--prices must be off/.test(error.message),
      text,
    );
  }
});

test('money is shown with as many digits as it needs', () => {
  assert.equal(formatMoney(0), '$0');
  assert.equal(formatMoney(0.000001), 'less than $0.0001');
  assert.equal(formatMoney(0.0123), '$0.0123');
  assert.equal(formatMoney(1234.567), '$1234.57');
});
