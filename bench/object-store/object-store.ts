import { installCommandOf, tryInstall } from '../../tools/debian.ts';
import { createBucket } from '../../tools/radosgw-setup.ts';
import { cephPackages, missingPrograms, startRadosgw } from '../../tools/radosgw.ts';
import type { Radosgw } from '../../tools/radosgw.ts';
import { missingForRust } from '../../tools/rust-wombatkv.ts';
import type { ScenarioResult, Table } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';
import type { BucketAccess } from './client-job.ts';
import { DelayRelay } from './delay-relay.ts';
import { faultTable } from './fault-table.ts';
import { peerTable } from './peer-table.ts';
import { requestTable } from './request-table.ts';
import { restoreTable } from './restore-table.ts';
import type { Places } from './restore-table.ts';
import { visibilityTable } from './visibility-table.ts';

const bucket = 'wombat-bench';
/** What the far bucket's round trips take longer. */
const farMs = 30;

/** A bucket behind S3: near, and as far as another region's. */
export const objectStore: Scenario = {
  name: 'object-store',
  about: 'a real S3 server, near and 30 ms away: restore, requests, faults',
  run,
};

async function run(context: BenchContext): Promise<ScenarioResult> {
  if (missingPrograms().length > 0) tryInstall(cephPackages);
  const missing = missingPrograms();
  if (missing.length > 0) {
    const reason = `no S3 server here: ${missing.join(', ')} missing; ${installCommandOf(cephPackages)}`;
    return { tables: [], settings: {}, versions: {}, voidReasons: [reason] };
  }
  // Said before minutes are spent on the rest.
  const lacking = context.hasPeers ? missingForRust() : undefined;
  if (lacking !== undefined) {
    const reason = `${lacking.what}; ${lacking.toType}`;
    return { tables: [], settings: {}, versions: {}, voidReasons: [reason] };
  }
  context.progress.begin('radosgw');
  const server = await startRadosgw();
  const kill = (): void => server.kill();
  // Whoever ends this process from outside ends the server too.
  process.once('exit', kill);
  try {
    await createBucket(server, bucket);
    context.progress.end('answers');
    return await runOn(server, context);
  } finally {
    await server.stop();
    process.off('exit', kill);
  }
}

async function runOn(server: Radosgw, context: BenchContext): Promise<ScenarioResult> {
  const { accessKey, secretKey, endpoint } = server;
  const targetPort = Number(new URL(endpoint).port);
  const access: BucketAccess = { endpoint, bucket, accessKey, secretKey };
  const relays = [
    await DelayRelay.start({ targetPort, delayMs: 0 }),
    await DelayRelay.start({ targetPort, delayMs: farMs / 2 }),
  ] as const;
  try {
    const places: Places = {
      near: { name: 'loopback', access, addedMs: 0 },
      relayed: {
        ...{ name: 'relay at 0 ms', addedMs: 0 },
        access: { ...access, endpoint: relays[0].origin },
      },
      far: {
        ...{ name: `${farMs} ms away`, addedMs: farMs },
        access: { ...access, endpoint: relays[1].origin },
      },
    };
    const tables: Table[] = [
      await restoreTable(context, places),
      await requestTable(context, places),
      await faultTable(context, places.near),
      await visibilityTable(context, places.near),
      ...(context.hasPeers ? [await peerTable(context, places.near)] : []),
    ];
    return { tables, settings: {}, versions: {}, voidReasons: [] };
  } finally {
    for (const relay of relays) await relay.stop();
  }
}
