import { Dice } from './dice.ts';
import { calmNetwork } from './network-faults.ts';
import type { NetworkShares } from './network-faults.ts';
import { noDiskFaults, noRefusals } from './sim-machine.ts';
import type { DiskFaultShares, MemoryRefusalShares } from './sim-machine.ts';
import type { OperationKind } from './operation-kind.ts';

const kib = 1024;

/** What kind of world a seed makes. Every tenth seed has the same theme. */
export interface Profile {
  readonly theme: string;
  readonly machines: number;
  /** Store processes of each machine, which share its cache directory. */
  readonly processesPerMachine: number;
  /** `directory`: the real directory store on the disk of the one machine. */
  readonly bucket: 'cloud' | 'directory';
  readonly network: NetworkShares;
  readonly disk: DiskFaultShares;
  readonly memoryRefusals: MemoryRefusalShares;
  readonly skewMsMax: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** Room on each disk. */
  readonly capacityBytes: number;
  readonly objectStoreBytesMax: number | false;
  readonly compression: 'zstd' | 'off';
  readonly payloadBytesMax: number;
  /** Stores accept in shared memory, which outlives their processes. */
  readonly sharesMemory: boolean;
  /** `auto` asks before the first object of the v1 format comes: it mostly reads none. */
  readonly readV1: 'auto' | 'on' | 'off';
  /** Kinds of operations that this theme makes beside the usual ones, with their weights. */
  readonly extra: Partial<Record<OperationKind, number>>;
}

const usual: Omit<Profile, 'theme'> = {
  machines: 2,
  processesPerMachine: 1,
  bucket: 'cloud',
  network: calmNetwork,
  disk: noDiskFaults,
  memoryRefusals: noRefusals,
  skewMsMax: 0,
  memoryBytes: 256 * kib,
  diskBytes: 4096 * kib,
  capacityBytes: Number.POSITIVE_INFINITY,
  objectStoreBytesMax: false,
  compression: 'off',
  payloadBytesMax: 4000,
  readV1: 'auto',
  sharesMemory: false,
  extra: {},
};

/** Seeds from here on make worlds whose stores share memory. */
export const sharingSeeds = 1_000_000_000;

/** Seeds of every test run: so many from 0 on, and so many of those whose stores share memory. */
export const usualSeedCount = 200;
export const sharingSeedCount = 40;

const stormy: NetworkShares = { trouble: 0.06, altered: 0, damaged: 0, staleLists: 0 };
const pressed = { memoryBytes: 32 * kib, diskBytes: 96 * kib };

const themes: readonly Partial<Profile>[] = [
  { theme: 'one calm host', machines: 1, compression: 'zstd', payloadBytesMax: 1500 },
  { theme: 'three calm hosts', machines: 3, skewMsMax: 7_200_000 },
  { theme: 'stormy network', network: { ...stormy, staleLists: 0.6 } },
  { theme: 'outages', network: { ...stormy, trouble: 0.02 }, extra: { outage: 1, jump: 2 } },
  {
    theme: 'bad disks and little memory',
    disk: { read: 0.01, write: 0.02, sync: 0, open: 0.01, slow: 0.01 },
    memoryRefusals: { process: 0.05, shared: 0.05 },
    capacityBytes: 100 * kib,
    diskBytes: 320 * kib,
  },
  {
    theme: 'eviction',
    ...pressed,
    payloadBytesMax: 9000,
    extra: { fresh: 8, 'hold-borrow': 6, stall: 4 },
  },
  {
    theme: 'two processes a host',
    processesPerMachine: 2,
    diskBytes: 400 * kib,
    extra: { crash: 7, stranger: 4 },
  },
  {
    theme: 'directory and power loss',
    machines: 1,
    bucket: 'directory',
    disk: { ...noDiskFaults, sync: 0.01 },
    extra: { 'power-loss': 8 },
  },
  {
    theme: 'damage',
    network: { trouble: 0.01, altered: 0.06, damaged: 0.05, staleLists: 0.4 },
    diskBytes: 400 * kib,
    extra: { 'remove-object': 8, 'damage-log': 6, 'newer-log': 3, 'strange-object': 8 },
  },
  {
    theme: 'collection and deletion',
    ...pressed,
    objectStoreBytesMax: 200 * kib,
    network: { ...stormy, trouble: 0.01 },
    skewMsMax: 600_000,
    extra: { jump: 10, 'delete-blocks': 6, 'delete-subtree': 3, 'delete-namespace': 2 },
  },
];

/** The profile of a seed. */
export function profileOf(seed: number): Profile {
  const dice = new Dice(`profile/${seed}`);
  const theme = themes[seed % themes.length];
  const mixed = dice.chance(0.3) ? { network: stormy, skewMsMax: 60_000 } : {};
  const compression = dice.chance(0.05) ? { compression: 'zstd' as const } : {};
  const isStrange = theme.extra?.['strange-object'] !== undefined;
  const readV1 = isStrange && dice.chance(0.6) ? { readV1: 'on' as const } : {};
  const sharing = { sharesMemory: seed >= sharingSeeds };
  return { theme: '', ...usual, ...mixed, ...compression, ...theme, ...readV1, ...sharing };
}
