import type { StoreStats } from '../blocks/kv-store.ts';
import type { ClientAccounts } from './client-accounts.ts';
import type { WireDoor } from '../wire/wire-link.ts';
import type { CompressedTraffic, DaemonCounters } from './daemon-counters.ts';
import { renderFamily } from './metrics-registry.ts';
import type { Sample } from './metrics-registry.ts';

/** Dollars for 1,000 requests, as the object store bills them. */
export interface RequestPrices {
  readonly write: number;
  readonly read: number;
}

/** What a daemon has to tell beside its store and its HTTP server. */
export interface DaemonFacts {
  readonly version: string;
  readonly counters: DaemonCounters;
  readonly accounts: ClientAccounts;
  /** Undefined where payloads are not compressed. */
  readonly wire: Pick<WireDoor, 'codec'> | undefined;
  /** Undefined where nobody sends a bill. */
  readonly prices: RequestPrices | undefined;
  /** When the certificate is good no more; undefined without one. */
  readonly certificateExpiresAtMs: number | undefined;
}

/** The numbers of a daemon in the text format of Prometheus. */
export function renderDaemonMetrics(facts: DaemonFacts, stats: StoreStats): string {
  return [
    gauge('wombatkv_build_info', 'The version that runs.', [
      { labels: { version: facts.version }, value: 1 },
    ]),
    doorFamilies(facts),
    wireFamilies(facts),
    billFamilies(facts, stats),
    certificateFamily(facts),
  ].join('');
}

function doorFamilies({ counters, accounts }: DaemonFacts): string {
  return [
    gauge('wombatkv_daemon_connections', 'Open connections of frames.', one(counters.connections)),
    counter(
      'wombatkv_daemon_connections_total',
      'Connections of frames that were taken.',
      one(counters.connectionsTaken),
    ),
    counter(
      'wombatkv_daemon_connections_refused_total',
      'Connections of frames refused because too many were open.',
      one(counters.connectionsRefused),
    ),
    counter(
      'wombatkv_daemon_connections_broken_total',
      'Connections of frames ended by this side: no frame, no token, a limit, a stall.',
      one(counters.connectionsBroken),
    ),
    counter('wombatkv_daemon_calls_total', 'Calls over frames that began.', one(counters.calls)),
    counter('wombatkv_daemon_calls_refused_total', 'Calls over frames that were not begun.', [
      { labels: { why: 'limit' }, value: counters.callsRefused },
      { labels: { why: 'token' }, value: counters.callsDenied },
    ]),
    counter(
      'wombatkv_daemon_calls_cancelled_total',
      'Calls over frames that their client cancelled.',
      one(counters.callsCancelled),
    ),
    counter(
      'wombatkv_daemon_memory_refused_total',
      'Times that the system had no memory for what came over frames or HTTP.',
      one(counters.memoryRefused),
    ),
    gauge('wombatkv_daemon_clients', 'Clients connected over frames.', one(accounts.clients)),
    gauge('wombatkv_daemon_calls', 'Calls over frames under way.', one(accounts.calls)),
    gauge(
      'wombatkv_daemon_calls_waiting',
      'Calls over frames that wait for their turn, or for room.',
      one(accounts.waiting),
    ),
    gauge(
      'wombatkv_daemon_intake_bytes',
      'Room taken for payloads coming in over frames.',
      one(accounts.intake.taken),
    ),
    gauge(
      'wombatkv_daemon_pinned_bytes',
      'Bytes pinned for answers over frames.',
      one(accounts.pinnedBytes),
    ),
  ].join('');
}

function wireFamilies({ counters, wire }: DaemonFacts): string {
  const { sent, received } = counters.compressed;
  const both = (valueOf: (traffic: CompressedTraffic) => number): readonly Sample[] => [
    { labels: { direction: 'sent' }, value: valueOf(sent) },
    { labels: { direction: 'received' }, value: valueOf(received) },
  ];
  return [
    counter(
      'wombatkv_wire_compressed_payloads_total',
      'Payloads that travelled compressed between clients and this daemon.',
      both(({ payloads }) => payloads),
    ),
    counter(
      'wombatkv_wire_compressed_raw_bytes_total',
      'Bytes of these payloads themselves.',
      both(({ rawBytes }) => rawBytes),
    ),
    counter(
      'wombatkv_wire_compressed_bytes_total',
      'Bytes that travelled for them.',
      both(({ wireBytes }) => wireBytes),
    ),
    counter(
      'wombatkv_wire_failures_total',
      'Payloads that could not be compressed and were sent as they are.',
      one(wire?.codec.failures ?? 0),
    ),
  ].join('');
}

function billFamilies({ prices }: DaemonFacts, { object }: StoreStats): string {
  const { write, read, free } = object.billed;
  const billed = counter(
    'wombatkv_object_billed_requests_total',
    'Requests to the object store as a bill counts them, repeated ones included.',
    Object.entries({ write, read, free }).map(([billedAs, value]) => ({
      labels: { class: billedAs },
      value,
    })),
  );
  if (prices === undefined) return billed;
  return (
    billed +
    counter('wombatkv_object_price_dollars_total', 'What these requests cost, by list prices.', [
      { labels: { class: 'write' }, value: (write * prices.write) / 1000 },
      { labels: { class: 'read' }, value: (read * prices.read) / 1000 },
    ])
  );
}

function certificateFamily({ certificateExpiresAtMs }: DaemonFacts): string {
  if (certificateExpiresAtMs === undefined) return '';
  return gauge(
    'wombatkv_tls_certificate_expires_seconds',
    'When the certificate is good no more, in seconds since 1970.',
    one(Math.floor(certificateExpiresAtMs / 1000)),
  );
}

function counter(name: string, help: string, samples: readonly Sample[]): string {
  return renderFamily({ name, type: 'counter', help }, samples);
}

function gauge(name: string, help: string, samples: readonly Sample[]): string {
  return renderFamily({ name, type: 'gauge', help }, samples);
}

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }];
}
