import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { getHeapStatistics } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { nativeCode } from './native.ts';
import { collectGarbage } from './process-memory.ts';

const mib = 1024 * 1024;

/** Memory of this process that has no name in a file system. */
function anonymousBytes(): number {
  const text = readFileSync('/proc/self/status', 'utf8');
  return 1024 * Number(/^RssAnon:\s+(\d+) kB$/m.exec(text)?.[1]);
}

function hasAllocatorOfGnu(): boolean {
  const report = process.report.getReport();
  return 'header' in report && 'glibcVersionRuntime' in Object(report.header);
}

describe('memory of a process', () => {
  it('is collected where it is garbage, and nobody gets the means to', () => {
    const isCollected = (() => {
      const reference = new WeakRef({ text: 'garbage' });
      return () => reference.deref() === undefined;
    })();
    return new Promise<void>((resolve, reject) => {
      // A reference holds what it names until the turn has ended that made it.
      setImmediate(() => {
        try {
          collectGarbage();
          assert.equal(isCollected(), true);
          assert.equal(runInNewContext('typeof gc'), 'undefined');
          resolve();
        } catch (error) {
          reject(error);
        }
      });
    });
  });

  const native = nativeCode('auto').code;
  const isOfGnu = process.platform === 'linux' && hasAllocatorOfGnu();
  const skip = withoutNative() || (isOfGnu ? false : 'needs the allocator of GNU');

  it('goes back to the system where it is free in the middle of a heap', { skip }, () => {
    const bytes = 64 * 1024;
    let pieces = Array.from({ length: 1000 }, () => Buffer.allocUnsafeSlow(bytes).fill(1));
    // The last of each hundred stays: what is free lies below something in use.
    const kept = pieces.filter((_, index) => index % 100 === 99);
    pieces = [];
    collectGarbage();
    const before = anonymousBytes();
    native?.trimHeap();
    const given = before - anonymousBytes();
    assert.ok(given > 16 * mib, `${given} bytes were given back`);
    assert.ok(kept.every((piece) => piece[bytes - 1] === 1));
    assert.equal(pieces.length, 0);
  });

  it('is left to V8 where collecting it takes long', () => {
    const kept: number[][] = [];
    while (getHeapStatistics().used_heap_size < 60 * mib) {
      kept.push(Array.from({ length: 1000 }, (_, i) => i + 0.5));
    }
    const before = getHeapStatistics().number_of_native_contexts;
    collectGarbage();
    assert.equal(getHeapStatistics().number_of_native_contexts, before);
    assert.ok(kept.length > 0);
  });
});
