import type { KvStore } from '../../src/blocks/kv-store.ts';

/** Bytes of each block that are altered: about the keys of eight tokens of the small models. */
const alteredBytes = 4096;

/**
 * A store that gives altered payloads, behind all checks: what no store of ours may ever do. With it
 * a comparison of outputs must fail, or it compares nothing.
 */
export function alteringStore(inner: KvStore): KvStore {
  return withMethods(inner, {
    load: async (keys, options) => {
      const borrow = await inner.load(keys, options);
      const blocks = borrow.blocks.map((block) => {
        const payload = Uint8Array.from(block.payload);
        // Every bit but the highest of small 16-bit floats: large values, never NaN.
        for (let i = 0; i < alteredBytes; i += 1) payload[i] ^= i % 2 === 0 ? 0xff : 0x03;
        return { ...block, payload };
      });
      return { blocks, reason: borrow.reason, release: () => borrow.release() };
    },
  });
}

/** The store with some of its methods replaced. */
export function withMethods(inner: KvStore, methods: Partial<KvStore>): KvStore {
  return {
    lookup: (...given) => inner.lookup(...given),
    contains: (...given) => inner.contains(...given),
    load: (...given) => inner.load(...given),
    save: (...given) => inner.save(...given),
    loadTail: (...given) => inner.loadTail(...given),
    saveTail: (...given) => inner.saveTail(...given),
    loadRawTail: (...given) => inner.loadRawTail(...given),
    saveRawTail: (...given) => inner.saveRawTail(...given),
    prefetch: (...given) => inner.prefetch(...given),
    flush: (...given) => inner.flush(...given),
    delete: (...given) => inner.delete(...given),
    stats: (...given) => inner.stats(...given),
    close: () => inner.close(),
    ...methods,
  };
}
