/** A change of one source text. The old text must stand in the file exactly once. */
export interface TextChange {
  /** Relative to the root of the project. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A fault to put into a copy of the store, and a seed of the usual ones that finds it. */
export interface PlantedBug {
  readonly name: string;
  readonly changes: readonly TextChange[];
  /** Tried first; any seed of a usual run will do. */
  readonly seed: number;
}

/** Faults that a store of this kind may have. Each must be found. */
export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'dropped sync: an object gets its name before its bytes are synced',
    seed: 7,
    changes: [
      {
        file: 'src/platform/file-steps.ts',
        from: '    await file.sync();\n',
        to: '',
      },
    ],
  },
  {
    name: 'dropped sync of the name: a put confirms an object whose directory was not synced',
    seed: 7,
    changes: [
      {
        file: 'src/objectstore/object-writer.ts',
        from: "...unsynced.directories.map((at) => ({ kind: 'sync-directory' as const, path: at })),",
        to: '',
      },
    ],
  },
  {
    name: 'unlocked double put: two saves of one payload both accept it',
    seed: 0,
    changes: [
      {
        file: 'src/store/write-path.ts',
        from: 'while (candidates.some(({ facts }) => this.#hasTwin(facts)));',
        to: 'while (candidates.length < 0);',
      },
    ],
  },
  {
    name: 'a put that replaces what another host stored first',
    seed: 1,
    changes: [
      {
        file: 'src/store/object-tier.ts',
        from: "const condition = facts.kind === 'raw-tail' ? undefined : ifSame;",
        to: 'const condition = ifSame === undefined ? ifSame : undefined;',
      },
    ],
  },
  {
    name: 'acknowledge before append: a save resolves while its write is under way',
    seed: 0,
    changes: [
      {
        file: 'src/cache/local-cache.ts',
        from: 'await this.#disk.write(\n',
        to: 'void this.#disk.write(\n',
      },
    ],
  },
  {
    name: 'skipped verification of objects',
    seed: 8,
    changes: [
      {
        file: 'src/store/early-decodes.ts',
        from: '!== header.storedCrc) {',
        to: '=== -1) {',
      },
      {
        file: 'src/store/early-decodes.ts',
        from: 'if (actual !== rawCrc) {',
        to: 'if (actual === -1) {',
      },
    ],
  },
  {
    name: 'skipped verification of the log',
    seed: 8,
    changes: [
      {
        file: 'src/cache/disk-log.ts',
        from: 'return isWhole && crc32c(into) === location.crc;',
        to: 'return isWhole;',
      },
      // The upload would notice.
      { file: 'src/store/encode-now.ts', from: 'if (actual !== crc) {', to: 'if (crc === -1) {' },
    ],
  },
  {
    name: 'eviction of a pending block',
    seed: 105,
    changes: [
      {
        file: 'src/cache/disk-tier.ts',
        from: 'if (entry.isPending || isHot) {',
        to: 'if (isHot) {',
      },
    ],
  },
  {
    name: 'head uploaded first',
    seed: 1,
    changes: [
      {
        file: 'src/store/uploads.ts',
        from: 'await Promise.all(rest.map(([, item]) => this.#runItem(item)));\n    await before;\n    for (const [, item] of heads) await this.#runItem(item);',
        to: 'for (const [, item] of heads) await this.#runItem(item);\n    await Promise.all(rest.map(([, item]) => this.#runItem(item)));',
      },
    ],
  },
  {
    name: 'index not repaired: a block found missing is still counted',
    seed: 78,
    changes: [
      {
        file: 'src/catalog/catalog.ts',
        from: 'this.#dropPresence(id);\n    this.#corrupt.delete(text);\n    this.#absent.set',
        to: 'this.#corrupt.delete(text);\n    this.#absent.set',
      },
    ],
  },
  {
    name: 'stale negative cache: an absence is believed for an hour',
    seed: 31,
    changes: [
      {
        file: 'src/catalog/catalog.ts',
        from: 'this.#clock.nowMs() + limits.negativeMs',
        to: 'this.#clock.nowMs() + 3_600_000',
      },
    ],
  },
  {
    name: 'pending block uploaded to another bucket',
    seed: 6,
    changes: [
      {
        file: 'src/cache/cache-owner.ts',
        from: 'return a.url === b.url && a.keyPrefix === b.keyPrefix;',
        to: 'return a.url === b.url;',
      },
      {
        file: 'src/cache/segment-header.ts',
        from: 'storeDigest.every((byte, index) => header[digestAt + index] === byte)',
        to: 'storeDigest.length > 0',
      },
    ],
  },
  {
    name: 'list of following keys written too early',
    seed: 1,
    changes: [
      {
        file: 'src/store/uploads.ts',
        from: 'const isDurable = entry?.isPending === false;',
        to: 'const isDurable = entry !== undefined;',
      },
    ],
  },
  {
    name: 'flush that does not wait',
    seed: 0,
    changes: [
      {
        file: 'src/store/uploads.ts',
        from: 'return this.whenDurable([...this.#items.keys()]);',
        to: 'return Promise.resolve();',
      },
    ],
  },
  {
    name: 'tenants that meet in the catalog',
    seed: 10,
    changes: [
      {
        file: 'src/catalog/catalog.ts',
        from: 'return `${id.kind.charAt(0)}${id.key}${id.namespace}`;',
        to: 'return `${id.kind.charAt(0)}${id.key}`;',
      },
      {
        file: 'src/catalog/known-table.ts',
        from: 'tags[at + 3] = (last & 0xff000000) | owner;',
        to: 'tags[at + 3] = (last & 0xff000000) | 1;',
      },
    ],
  },
  {
    name: 'adoption that empties a place without copying what is pending',
    seed: 36,
    changes: [
      {
        file: 'src/store/adopt.ts',
        from: 'for (const save of tier.takePending()) await this.#adoptSave(tier, save);',
        to: 'tier.takePending();',
      },
    ],
  },
  {
    name: 'a dropped segment that stays open',
    seed: 5,
    changes: [
      {
        file: 'src/cache/disk-log.ts',
        from: 'await this.#options.files.remove(segment.path);\n    await segment.close();',
        to: 'await this.#options.files.remove(segment.path);',
      },
    ],
  },
  {
    name: 'a deadline that does not fire',
    seed: 3,
    changes: [
      {
        file: 'src/store/call.ts',
        from: "this.#controller.abort(new StoreError('ABORTED', message));",
        to: 'void message;',
      },
    ],
  },
  {
    name: 'a log without order: a save is written from its first block to its last',
    seed: 52,
    changes: [
      {
        file: 'src/cache/local-cache.ts',
        from: 'payload: payloads[index].payload })).reverse(),',
        to: 'payload: payloads[index].payload })),',
      },
    ],
  },
  {
    name: 'memory used again while it is borrowed',
    seed: 5,
    changes: [
      {
        file: 'src/store/flights.ts',
        from: "if (typeof brought !== 'string') brought.pinned.extent.pin();",
        to: '',
      },
    ],
  },
  {
    name: 'memory of a pending payload used again',
    seed: 1_000_000_015,
    changes: [
      {
        file: 'src/cache/memory-acceptance.ts',
        from: 'for (const { entry } of save.payloads) entry.isHeld = true;',
        to: 'for (const { entry, extent } of save.payloads) {\n      entry.isHeld = true;\n      queueMicrotask(() => extent.unpin());\n    }',
      },
      {
        file: 'src/cache/memory-acceptance.ts',
        from: '    entry.isHeld = false;\n    extent.unpin();',
        to: '    entry.isHeld = false;',
      },
    ],
  },
  {
    name: 'takeover that compares no checksum of a payload',
    seed: 1_000_000_008,
    changes: [
      {
        file: 'src/cache/memory-takeover.ts',
        from: 'crc32cAppend(0, payload) === payloadCrc',
        to: 'payloadCrc >= 0',
      },
      {
        file: 'src/cache/memory-takeover.ts',
        from: 'facts: factsOf(left.record), payload, saveIndex, isPending',
        to: 'facts: { ...factsOf(left.record), crc: crc32cAppend(0, payload) }, payload, saveIndex, isPending',
      },
    ],
  },
  {
    name: 'a mark for pending ones that goes before the log has them',
    seed: 1_000_000_020,
    changes: [
      {
        file: 'src/cache/memory-acceptance.ts',
        from: 'for (const { entry } of save.payloads) entry.isHeld = true;',
        to: 'for (const { entry, extent } of save.payloads) {\n      entry.isHeld = true;\n      this.#parts.shared.settle(extent.bytes);\n    }',
      },
    ],
  },
  {
    name: 'memory that the system refuses is told as a mistake of the caller',
    seed: 4,
    changes: [
      {
        file: 'src/platform/payload-memory.ts',
        from: "throw new StoreError('BUSY', `the system",
        to: 'throw new RangeError(`the system',
      },
    ],
  },
  {
    name: 'files of shared memory that stay open when there is no room for the rest',
    seed: 1_000_000_004,
    changes: [
      {
        file: 'src/cache/shared-tier.ts',
        from: 'stamps?.close();\n      this.#clientsFile.close();',
        to: 'stamps?.close();',
      },
    ],
  },
];
