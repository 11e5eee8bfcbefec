import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StoreError } from '../base/errors.ts';
import type { LogFields, Logger } from '../base/logger.ts';
import { loadZstd } from '../format/zstd.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { Rehearsal } from './rehearsal.ts';
import { encodeNow } from './encode-now.ts';
import { decodeNow } from './early-decodes.ts';
import { decodeLegacyNow, encodeLegacyNow } from './transcoder.ts';
import type { Transcoder } from './transcoder.ts';

/** The codec in this thread, which counts what it is asked. */
class CountingTranscoder implements Transcoder {
  encoded = 0;
  decoded = 0;
  closed = 0;
  readonly #zstd = loadZstd();

  encode(task: Parameters<Transcoder['encode']>[0]): ReturnType<Transcoder['encode']> {
    this.encoded += 1;
    return Promise.resolve(encodeNow(task, () => this.#zstd));
  }

  decode(task: Parameters<Transcoder['decode']>[0]): Promise<void> {
    this.decoded += 1;
    return Promise.resolve(decodeNow(task, () => this.#zstd));
  }

  encodeLegacy(
    task: Parameters<Transcoder['encodeLegacy']>[0],
  ): ReturnType<Transcoder['encodeLegacy']> {
    return Promise.resolve(encodeLegacyNow(task, () => this.#zstd));
  }

  decodeLegacy(
    task: Parameters<Transcoder['decodeLegacy']>[0],
  ): ReturnType<Transcoder['decodeLegacy']> {
    return Promise.resolve(decodeLegacyNow(task, () => this.#zstd));
  }

  close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }
}

class LineLogger implements Logger {
  readonly lines: string[] = [];
  debug(message: string, fields?: LogFields): void {
    this.#add(message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#add(message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#add(message, fields);
  }
  #add(message: string, fields?: LogFields): void {
    this.lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
  }
}

describe('Rehearsal', () => {
  it('brings every payload of its chain from its bucket once, and touches no file', async () => {
    const transcoder = new CountingTranscoder();
    const platform = nodePlatform();
    const files = new Proxy(platform.files, {
      get: (_, name) => () => Promise.reject(new Error(`files.${String(name)} was called`)),
    });
    const logger = new LineLogger();
    const rehearsal = new Rehearsal({ ...platform, files }, transcoder, logger);
    await rehearsal.ended;
    assert.deepEqual(logger.lines, []);
    assert.equal(transcoder.encoded, 9);
    assert.equal(transcoder.decoded, 9);
    assert.equal(transcoder.closed, 0, 'the transcoder is its owner’s');
  });

  it('ends when it is stopped', async () => {
    const transcoder = new CountingTranscoder();
    const rehearsal = new Rehearsal(nodePlatform(), transcoder, new LineLogger());
    await rehearsal.stop();
    assert.ok(transcoder.decoded < 9, `${transcoder.decoded} payloads were decoded`);
  });

  it('tells of a fault and leaves it to the real store', async () => {
    const transcoder = new CountingTranscoder();
    transcoder.encode = () => Promise.reject(new StoreError('INCOMPATIBLE', 'zstd is missing'));
    const logger = new LineLogger();
    const rehearsal = new Rehearsal(nodePlatform(), transcoder, logger);
    await rehearsal.ended;
    assert.equal(logger.lines.length, 1);
    assert.match(logger.lines[0], /rehearsal: ended early .*zstd is missing/);
  });
});
