import type { Logger } from '../../base/logger.ts';
import type { KvStore } from '../../blocks/kv-store.ts';
import { connect } from '../../client/connect.ts';
import { openStore } from '../../open-store.ts';
import type { DemoJob } from './demo-job.ts';

/** Opens the store of a job in this process, or connects to the daemon that has it. */
export function openJobStore({ store, daemonUrl }: DemoJob, logger?: Logger): Promise<KvStore> {
  if (daemonUrl === undefined) return openStore(store, { logger });
  const { namespace, lookupDeadlineMs } = store;
  return connect(daemonUrl, { namespace, lookupDeadlineMs });
}
