import type { AnsweredExchange } from './http-exchange.ts';
import { Counter, Histogram, renderFamily } from './metrics-registry.ts';
import type { Sample } from './metrics-registry.ts';

/** What is read at the moment of asking. */
export interface HttpGauges {
  readonly connections: () => number;
  readonly bodyBytes: () => number;
  readonly bodiesWaiting: () => number;
}

/** What an HTTP server counts. */
export class HttpMetrics {
  readonly #gauges: HttpGauges;
  readonly #requests = new Counter();
  readonly #seconds = new Histogram();
  readonly #operations = new WeakMap<object, string>();
  #receivedBytes = 0;
  #sentBytes = 0;
  #refusedConnections = 0;
  /** Payloads on loan from the store while their answers are sent, and payload bytes. */
  pinned = 0;
  pinnedBytes = 0;
  /** Payloads that clients left out of a save because the store had them. */
  leftOut = 0;

  constructor(gauges: HttpGauges) {
    this.#gauges = gauges;
  }

  /** Names what the request is for; all others count as `none`. */
  name(head: object, operation: string): void {
    this.#operations.set(head, operation);
  }

  count(exchange: AnsweredExchange): void {
    const { head, status, elapsedMs, receivedBytes, sentBytes } = exchange;
    const operation = (head === undefined ? undefined : this.#operations.get(head)) ?? 'none';
    this.#requests.add({ operation, status: String(status) });
    this.#seconds.observe({ operation }, Number.isFinite(elapsedMs) ? elapsedMs / 1000 : 0);
    this.#receivedBytes += receivedBytes;
    this.#sentBytes += sentBytes;
  }

  countRefusedConnection(): void {
    this.#refusedConnections += 1;
  }

  render(): string {
    const { connections, bodyBytes, bodiesWaiting } = this.#gauges;
    const counter = (name: string, help: string, value: number): string =>
      renderFamily({ name, type: 'counter', help }, one(value));
    const gauge = (name: string, help: string, value: number): string =>
      renderFamily({ name, type: 'gauge', help }, one(value));
    const requests = {
      name: 'wombatkv_http_requests_total',
      type: 'counter',
      help: 'Requests answered, by what they were for and by status.',
    } as const;
    const seconds = {
      name: 'wombatkv_http_request_seconds',
      type: 'histogram',
      help: 'Time from the first byte of a request to the last of its answer.',
    } as const;
    return [
      renderFamily(requests, this.#requests.samples),
      renderFamily(seconds, this.#seconds),
      counter(
        'wombatkv_http_received_bytes_total',
        'Bytes of request bodies.',
        this.#receivedBytes,
      ),
      counter('wombatkv_http_sent_bytes_total', 'Bytes of answers.', this.#sentBytes),
      counter(
        'wombatkv_http_refused_connections_total',
        'Connections refused because too many were open.',
        this.#refusedConnections,
      ),
      counter(
        'wombatkv_http_left_out_total',
        'Payloads that a save left out because they were stored.',
        this.leftOut,
      ),
      gauge('wombatkv_http_connections', 'Open connections.', connections()),
      gauge('wombatkv_http_body_bytes', 'Bytes of bodies under way.', bodyBytes()),
      gauge('wombatkv_http_bodies_waiting', 'Bodies that wait for room.', bodiesWaiting()),
      gauge('wombatkv_http_pins', 'Payloads pinned for answers under way.', this.pinned),
      gauge('wombatkv_http_pinned_bytes', 'Bytes pinned for answers under way.', this.pinnedBytes),
    ].join('');
  }
}

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }];
}
