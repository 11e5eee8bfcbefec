import { assert } from '../base/assert.ts';
import { BodyDecoder } from '../protocol/http1-body.ts';
import { encodeHead, hasBody, isRefusal, parseRequestHead } from '../protocol/http1-head.ts';
import type { Http1Refusal, RequestHead } from '../protocol/http1-head.ts';
import { HeadScanner, latin1Text } from '../protocol/http1-scan.ts';
import type { BodySink } from '../protocol/http1-sink.ts';
import type { SocketConnection, SocketReceiver } from '../platform/sockets.ts';
import { failureAnswer, refusalAnswer } from './http-answer.ts';
import type { HttpAnswer } from './http-answer.ts';
import { answerGroups } from './http-answer-writer.ts';
import { isLongBody } from './http-exchange.ts';
import type { HttpConnectionHost, HttpJob, HttpPeer } from './http-exchange.ts';

type State = 'head' | 'opening' | 'body' | 'answering' | 'closing' | 'closed';

/** Shorter pieces come several at a time through the scratch buffer, which costs less. */
const directBytesMin = 16 * 1024;
/** Behind so many bytes that came directly more are to follow: what is read with the framing is copied. */
const longDirectBytes = 512 * 1024;
const shortReadBytes = 512;
/** Pipelined bytes beyond this wait with the system until the request before is answered. */
const heldBytesMax = 32 * 1024;
const continueBytes = encodeHead('HTTP/1.1 100 Continue', []);

/**
 * The server's end of one connection: requests one after another, never two at a time. Bytes land
 * in a scratch buffer while framing is read, and directly in the sink's memory while data follows.
 */
export class HttpConnection implements SocketReceiver, HttpPeer {
  readonly #host: HttpConnectionHost;
  readonly #socket: SocketConnection;
  readonly #scratch: Uint8Array;
  readonly #scanner = new HeadScanner();
  readonly #gone = new AbortController();
  #state: State = 'head';
  /** Bytes in scratch that are not read yet. */
  #start = 0;
  #end = 0;
  /** Where in scratch the next bytes come, when it is given for them. */
  #offered = 0;
  #isDirect = false;
  /** Bytes that came directly in a row. */
  #directBytes = 0;
  #isPaused = false;
  #hasEnded = false;
  #head: RequestHead | undefined;
  #job: HttpJob | undefined;
  #decoder: BodyDecoder | undefined;
  #sink: BodySink | undefined;
  /** When the first byte of the request came; Infinity between requests. */
  #beganMs: number;
  #bodyBeganMs = 0;
  #received = 0;
  /** When the peer has been too slow; Infinity while it is our turn. */
  #expiresAtMs: number;

  constructor(host: HttpConnectionHost, socket: SocketConnection, scratch: Uint8Array) {
    this.#host = host;
    this.#socket = socket;
    this.#scratch = scratch;
    this.#beganMs = host.clock.nowMs();
    this.#expiresAtMs = this.#beganMs + host.limits.headMs;
  }

  get peer(): string {
    return this.#socket.peer;
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** True when no request is under way. */
  get isIdle(): boolean {
    return this.#state === 'head' && this.#start === this.#end;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Reads nothing until {@link refuse}. */
  hold(): void {
    this.#state = 'opening';
  }

  /** Answers without a request and closes. */
  refuse(status: number, reason: string): void {
    this.#state = 'answering';
    void this.#send({ ...refusalAnswer(status, reason), isLast: true });
  }

  /** Ends the connection when its peer has been too slow. */
  checkTime(nowMs: number): void {
    if (nowMs < this.#expiresAtMs) return;
    this.#expiresAtMs = Infinity;
    const isBetween = this.#state === 'head' && this.#start === this.#end;
    if (isBetween || this.#state === 'closing' || this.#state === 'answering') {
      this.#socket.destroy();
    } else if (this.#state === 'head') {
      this.#refuse({ status: 408, reason: `no whole head in ${this.#host.limits.headMs} ms` });
    } else if (this.#state === 'body') {
      const came = `${this.#received} bytes came`;
      this.#refuse({ status: 408, reason: `the body is too slow: ${came} in the time for more` });
    }
  }

  nextBuffer(): Uint8Array {
    const ahead = this.#decoder?.dataAhead ?? 0;
    const place = this.#start === this.#end ? this.#placeOfData(ahead) : undefined;
    this.#isDirect = place !== undefined;
    if (place !== undefined) return place;
    if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#end === this.#scratch.length) this.#compact();
    this.#offered = this.#end;
    const isShort = ahead >= directBytesMin && this.#directBytes >= longDirectBytes;
    this.#directBytes = 0;
    return this.#scratch.subarray(this.#end, isShort ? this.#end + shortReadBytes : undefined);
  }

  /** Where the next bytes of a body stay, when so many of them are ahead that they are worth it. */
  #placeOfData(ahead: number): Uint8Array | undefined {
    if (this.#state !== 'body' || ahead < directBytesMin) return undefined;
    const memory = this.#sink?.space().subarray(0, ahead);
    return memory !== undefined && memory.length >= directBytesMin ? memory : undefined;
  }

  received(count: number): void {
    if (this.#isDirect) {
      // The exchange was given up while the socket waited; the bytes are nobody's.
      if (this.#state !== 'body') return;
      this.#directBytes += count;
      this.#takeData(count);
      if (this.#decoder?.isDone === true) this.#endBody();
      return;
    }
    // What was read before may have moved while the socket was paused.
    this.#scratch.copyWithin(this.#end, this.#offered, this.#offered + count);
    this.#end += count;
    this.#consume();
  }

  ended(): void {
    this.#hasEnded = true;
    // A client that sends no more may still wait for the answer to what it sent.
    if (this.#state === 'opening' || this.#state === 'answering') return;
    this.#socket.destroy();
  }

  closed(): void {
    this.#state = 'closed';
    this.#expiresAtMs = Infinity;
    this.#gone.abort();
    this.#closeJob();
    this.#host.onClose(this);
  }

  #consume(): void {
    while (this.#start < this.#end) {
      const before = this.#start;
      const state = this.#state;
      if (state === 'head') this.#readHead();
      else if (state === 'body') this.#readBody();
      else if (state === 'closing') this.#drop();
      else break;
      if (this.#start === before && this.#state === state) break;
    }
    const isWaiting = this.#state === 'opening' || this.#state === 'answering';
    if (isWaiting && this.#end - this.#start > heldBytesMax) this.#pause();
  }

  #readHead(): void {
    this.#compact();
    // RFC 9112 §2.2: an empty line before a request is passed over.
    if (this.#end >= 2 && this.#scratch[0] === 13 && this.#scratch[1] === 10) {
      this.#start = 2;
      this.#compact();
      this.#scanner.reset();
    }
    const nowMs = this.#host.clock.nowMs();
    if (this.#head === undefined && this.#beganMs === Infinity) {
      this.#beganMs = nowMs;
      this.#expiresAtMs = nowMs + this.#host.limits.headMs;
    }
    const size = this.#scanner.scan(this.#scratch, this.#end);
    if (typeof size !== 'number') this.#refuse(size);
    else if (size > 0) {
      const head = parseRequestHead(latin1Text(this.#scratch, size));
      this.#start = size;
      if (isRefusal(head)) this.#refuse(head);
      else this.#startRequest(head);
    }
  }

  #startRequest(head: RequestHead): void {
    this.#head = head;
    this.#received = 0;
    this.#state = 'opening';
    this.#expiresAtMs = Infinity;
    this.#host.open(head, this).then(
      (job) => this.#startBody(head, job),
      (error: unknown) => void this.#send(this.#early(failureAnswer(error))),
    );
  }

  /** An answer before the body: what follows cannot be told from a request, unless there is none. */
  #early(answer: HttpAnswer): HttpAnswer {
    const isLast = answer.isLast === true || (this.#head !== undefined && hasBody(this.#head.body));
    return { ...answer, isLast };
  }

  #startBody(head: RequestHead, job: HttpJob): void {
    if (this.#state !== 'opening') return job.close?.();
    this.#job = job;
    this.#decoder = new BodyDecoder(head.body);
    this.#sink = job.sink;
    if (this.#decoder.isDone) return this.#endBody();
    if (job.sink === undefined && isLongBody(head)) {
      this.#state = 'answering';
      void this.#answer(job, true);
      return;
    }
    if (this.#hasEnded && this.#start === this.#end) {
      this.#socket.destroy();
      return;
    }
    this.#state = 'body';
    this.#bodyBeganMs = this.#host.clock.nowMs();
    this.#setBodyExpiry();
    if (head.expectsContinue && this.#start === this.#end) {
      this.#socket.write([continueBytes]);
    }
    this.#resume();
    this.#consume();
  }

  #readBody(): void {
    const decoder = this.#decoder;
    assert(decoder !== undefined, 'a body is read by a decoder');
    if (decoder.dataAhead > 0) {
      const held = Math.min(decoder.dataAhead, this.#end - this.#start);
      const count = this.#copyToSink(held);
      this.#start += count;
      this.#takeData(count);
    } else {
      const next = decoder.takeFraming(this.#scratch, this.#start, this.#end);
      if (typeof next !== 'number') {
        this.#refuse(next);
        return;
      }
      this.#start = next;
    }
    if (decoder.isDone && this.#state === 'body') this.#endBody();
  }

  #copyToSink(count: number): number {
    if (this.#sink === undefined) return count;
    const memory = this.#sink.space();
    const taken = Math.min(count, memory.length);
    memory.set(this.#scratch.subarray(this.#start, this.#start + taken));
    return taken;
  }

  #takeData(count: number): void {
    this.#decoder?.tookData(count);
    this.#received += count;
    this.#setBodyExpiry();
    try {
      this.#sink?.took(count);
    } catch (error) {
      this.#giveUp(failureAnswer(error));
    }
  }

  #setBodyExpiry(): void {
    const { bodyMs, bodyBytesPerSecondMin } = this.#host.limits;
    const byRateMs = this.#bodyBeganMs + (1000 * this.#received) / bodyBytesPerSecondMin;
    this.#expiresAtMs = Math.min(byRateMs, this.#host.clock.nowMs()) + bodyMs;
  }

  #endBody(): void {
    if (this.#state !== 'body' && this.#state !== 'opening') return;
    this.#state = 'answering';
    this.#expiresAtMs = Infinity;
    const job = this.#job;
    assert(job !== undefined, 'a body belongs to a job');
    void this.#answer(job, false);
  }

  async #answer(job: HttpJob, isLast: boolean): Promise<void> {
    let answer: HttpAnswer;
    try {
      job.sink?.finish();
      await job.sink?.verified?.();
      answer = await job.answer();
    } catch (error) {
      answer = failureAnswer(error);
    }
    await this.#send(isLast ? { ...answer, isLast } : answer);
  }

  #refuse({ status, reason }: Http1Refusal): void {
    this.#giveUp(refusalAnswer(status, reason));
  }

  /** Answers before all of the request was read, which ends the connection. */
  #giveUp(answer: HttpAnswer): void {
    if (this.#state !== 'head' && this.#state !== 'body') return;
    this.#state = 'answering';
    void this.#send({ ...answer, isLast: true });
  }

  async #send(answer: HttpAnswer): Promise<void> {
    const head = this.#head;
    const { clock, limits, isDraining } = this.#host;
    const isAsked = answer.isLast === true || head?.isKeptAlive !== true;
    const isLast = isAsked || this.#hasEnded || isDraining;
    const facts = { method: head?.method, isLast, wallMs: clock.wallMs() };
    let sentBytes = 0;
    try {
      if (this.#isGone()) return;
      this.#state = 'answering';
      for await (const group of answerGroups(answer, facts)) {
        this.#expiresAtMs = clock.nowMs() + limits.writeMs;
        this.#socket.write(group);
        await this.#socket.flushed();
        sentBytes += group.reduce((sum, part) => sum + part.length, 0);
        this.#expiresAtMs = Infinity;
      }
    } catch {
      // The client left; closed() follows, and there is nobody to tell.
      this.#socket.destroy();
      return;
    } finally {
      answer.release?.();
      const outcome = { status: answer.status, elapsedMs: clock.nowMs() - this.#beganMs };
      this.#host.onAnswer({ head, ...outcome, receivedBytes: this.#received, sentBytes });
      // Until the connection is closed the socket may still fill the memory that it was given.
      if (!this.#isDirect) this.#closeJob();
    }
    this.#next(isLast);
  }

  #next(isLast: boolean): void {
    if (this.#isGone()) return;
    this.#head = undefined;
    this.#decoder = undefined;
    this.#sink = undefined;
    this.#scanner.reset();
    const nowMs = this.#host.clock.nowMs();
    if (isLast) {
      this.#state = 'closing';
      this.#received = 0;
      this.#expiresAtMs = nowMs + this.#host.limits.lingerMs;
      this.#socket.end();
      if (this.#hasEnded) this.#socket.destroy();
    } else {
      this.#state = 'head';
      this.#beganMs = Infinity;
      this.#expiresAtMs = nowMs + this.#host.limits.idleMs;
    }
    this.#resume();
    this.#consume();
  }

  #isGone(): boolean {
    return this.#state === 'closed';
  }

  #drop(): void {
    this.#received += this.#end - this.#start;
    this.#start = this.#end;
    if (this.#received > this.#host.limits.lingerBytesMax) this.#socket.destroy();
  }

  #closeJob(): void {
    const job = this.#job;
    this.#job = undefined;
    job?.close?.();
  }

  #compact(): void {
    if (this.#start === 0) return;
    this.#scratch.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#socket.setReading(false);
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket.setReading(true);
  }
}
