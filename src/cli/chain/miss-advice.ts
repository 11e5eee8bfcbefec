import type { ResolvedStoreConfig } from '../../config/store-config.ts';
import { formatDuration } from '../quantity.ts';
import type { ExplainReason } from './explanation.ts';

type Circumstances = Pick<ResolvedStoreConfig, 'loadDeadlineMs' | 'namespace'>;

/** What a reason means for an operator, and what to do about it. */
export function adviceOn(
  reason: ExplainReason,
  { loadDeadlineMs, namespace }: Circumstances,
): string {
  switch (reason) {
    case 'unknown':
      return (
        `Nothing is stored under this key in namespace ${JSON.stringify(namespace)}, and nothing ` +
        'says that it ever was. Compute it once; the engine saves it. If it was saved before, its ' +
        'key was another: one other token up to its end changes it, and with every block missing ' +
        'so does another model, engine, seed or setting of KV.'
      );
    case 'evicted':
      return (
        'The block before it was stored together with this one, and this one was removed since: by ' +
        'the budget of the object store (WMBT_KV_OBJECT_STORE_MAX_BYTES), by wombatkv prune or ' +
        'delete, or by a rule of the bucket. Compute it, and it is saved again; raise the budget ' +
        'if that happens often.'
      );
    case 'corrupt':
      return (
        'Its bytes fail a check, so they are never returned. Compute it: the next save replaces ' +
        'the object. wombatkv verify finds what else is damaged, and --repair removes it.'
      );
    case 'other-fingerprint':
      return (
        'It is there, and another model wrote it: two models share keys. Give each a seed input ' +
        'of its own that names everything that changes KV values.'
      );
    case 'decoded':
      return (
        'It holds tokens that were decoded one by one, and exact loads take only what was ' +
        'prefilled. Compute it, or load without exact.'
      );
    case 'deadline':
      return (
        `The object store did not answer within ${formatDuration(loadDeadlineMs)}, which is what a ` +
        'load waits. Look at the network and the server; WMBT_KV_LOAD_DEADLINE_MS and ' +
        'WMBT_KV_LOOKUP_DEADLINE_MS give more time.'
      );
    case 'unavailable':
      return (
        'The object store does not answer or refuses. What is on disk is served; saves wait on ' +
        'disk until it is back. Look at its address, credentials and rights (wombatkv status).'
      );
    case 'incompatible':
      return 'A newer version wrote it. Upgrade this one.';
    case 'closed':
      return 'The store was closing. Ask again.';
    case 'not-worth-it':
      return (
        'All of it is stored, and the adapter would compute it: that is expected to be as fast. ' +
        "openLlama with restore: 'always' restores all the same."
      );
    default:
      return reason satisfies never;
  }
}
