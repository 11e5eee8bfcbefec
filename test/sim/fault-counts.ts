/** Every kind of fault that the simulation makes. The words are those of the report. */
export const faultKinds = [
  // The bucket and the way to it.
  'transient error',
  'throttled',
  'connection reset in mid-body',
  'no answer',
  'slow first byte',
  'lost reply of a put that succeeded',
  'put that arrives after its caller gave up',
  'truncated body',
  'altered body',
  'object damaged as it was put',
  'object removed under a live entry',
  'stale listing',
  'bucket gone for an hour',
  'bucket throttled for an hour',
  'refused put',
  'object of a newer format',
  'object of the v1 format',
  // Hosts.
  'clock skew between hosts',
  'clock jump',
  'two writers of one key',
  'process killed',
  'process killed in mid-save',
  'process killed in mid-upload',
  'process killed in mid-close',
  'process killed as it opened',
  'torn write at a kill',
  'process killed as it wrote shared memory',
  'shared memory of a dead process damaged',
  'machine lost its power',
  'cache wiped',
  'call aborted',
  'borrow held over evictions',
  'out of memory',
  'shared memory full',
  // Disks.
  'unsynced write lost',
  'unsynced write torn',
  'directory entry lost',
  'disk full',
  'read error',
  'write error',
  'sync error',
  'out of descriptors',
  'slow disk',
  'log from a newer version',
  'payload damaged on disk',
] as const;

export type FaultKind = (typeof faultKinds)[number];

/** Those that only happen where stores share their memory. */
export const sharingKinds: readonly FaultKind[] = [
  'process killed as it wrote shared memory',
  'shared memory of a dead process damaged',
  'shared memory full',
];

/** How often each fault took effect. */
export class FaultCounts {
  readonly #counts = new Map<FaultKind, number>(faultKinds.map((kind) => [kind, 0]));

  add(kind: FaultKind, count = 1): void {
    this.#counts.set(kind, this.get(kind) + count);
  }

  get(kind: FaultKind): number {
    return this.#counts.get(kind) ?? 0;
  }

  addAll(other: FaultCounts): void {
    for (const kind of faultKinds) this.add(kind, other.get(kind));
  }

  /** Which of these kinds happened less often than that. */
  below(least: number, kinds: readonly FaultKind[] = faultKinds): readonly FaultKind[] {
    return kinds.filter((kind) => this.get(kind) < least);
  }

  toString(): string {
    return faultKinds.map((kind) => `${kind}: ${this.get(kind)}`).join('; ');
  }
}
