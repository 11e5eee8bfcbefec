import { loadAndCheck } from './block-operations.ts';
import { converge } from './converge.ts';
import type { FaultCounts } from './fault-counts.ts';
import { runOperation } from './operations.ts';
import type { Plan } from './plan.ts';
import { SimWorld } from './sim-world.ts';
import type { Slot } from './slot.ts';

/** What became of a plan. */
export interface SimResult {
  /** What did not hold; undefined when all did. */
  readonly failure: string | undefined;
  readonly counts: FaultCounts;
  /** Equal for equal plans, on every machine. */
  readonly digest: string;
  readonly lines: readonly string[];
  readonly virtualMs: number;
  readonly events: number;
  readonly comparisons: number;
  readonly operations: number;
}

/** Operations under way at once. */
const underWayMax = 8;

/** Runs the plan from an empty world to the moment when everything has come right. */
export async function simulate(
  plan: Plan,
  options: { readonly keepsTrace?: boolean } = {},
): Promise<SimResult> {
  // An hour without a bucket is full of errors; their stacks would be most of the time.
  Error.stackTraceLimit = 4;
  const world = new SimWorld(plan, options.keepsTrace ?? false);
  let failure: string | undefined;
  try {
    await world.scheduler.run(runPlan(world, plan));
    world.throwIfFailed();
  } catch (error) {
    failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  return {
    failure,
    counts: world.counts,
    digest: world.trace.digest,
    lines: world.trace.lines,
    virtualMs: world.nowMs,
    events: world.scheduler.fired,
    comparisons: world.oracle.comparisons,
    operations: plan.operations.length,
  };
}

async function runPlan(world: SimWorld, plan: Plan): Promise<void> {
  const underWay = new Set<Promise<void>>();
  let broken: unknown;
  for (const operation of plan.operations) {
    const running = runOperation(world, operation, plan.seed).catch((error: unknown) => {
      broken ??= error;
    });
    const ended = running.then(() => {
      underWay.delete(ended);
    });
    underWay.add(ended);
    if (operation.isAwaited) await running;
    else await Promise.race([running, world.scheduler.wait(operation.gapMs)]);
    if (underWay.size >= underWayMax) await Promise.race(underWay);
    if (broken !== undefined) throw broken;
    world.throwIfFailed();
    if (operation.id % 8 === 0) for (const slot of world.slots) await checkBounds(world, slot);
  }
  await Promise.all(underWay);
  if (broken !== undefined) throw broken;
  world.throwIfFailed();
  await converge(world, (slot, query) => loadAndCheck(world, slot, query, false));
}

/** Memory, disk and backlog stay within their budgets at any moment. */
async function checkBounds(world: SimWorld, slot: Slot): Promise<void> {
  const { memoryBytes, diskBytes, payloadBytesMax } = world.profile;
  const outcome = await world.call(slot, 'stats', 1000, (store) => store.stats());
  if (outcome.kind !== 'answer') return;
  const { memory, disk, pendingBytes } = outcome.value;
  if (memory.bytes > memoryBytes) world.fail(`memory tier holds ${memory.bytes} bytes`);
  // A segment more than the budget, and the batch that is being written.
  const batchBytes = 200 * (payloadBytesMax + 256);
  const most = diskBytes + Math.max(diskBytes / 8, diskBytes / 64) + batchBytes;
  if (disk.bytes > most) world.fail(`disk tier holds ${disk.bytes} bytes of ${diskBytes}`);
  if (pendingBytes > diskBytes + batchBytes) world.fail(`${pendingBytes} bytes are pending`);
}
