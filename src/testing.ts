/** For tests of programs that use WombatKV: a bucket in memory, and faults on demand. */
export { FaultyObjectStore, scriptedFaults } from './objectstore/faulty-object-store.ts';
export type { FaultPicker, FaultableCall, ObjectFault } from './objectstore/faulty-object-store.ts';
export { MemoryObjectStore } from './objectstore/memory-object-store.ts';
export { parseObjectKey } from './objectstore/object-key.ts';
export type * from './objectstore/object-store.ts';
