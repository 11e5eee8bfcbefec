import { StoreError } from '../base/errors.ts';
import type { NativeMode } from '../platform/native.ts';
import type { CompressedForm } from '../protocol/read-messages.ts';
import { WireChoice } from './wire-choice.ts';
import type { WireTransfer } from './wire-choice.ts';
import { WireCodec } from './wire-codec.ts';

/** `auto`: where it pays. `on`: everywhere. */
export type WireMode = 'auto' | 'on';

/** Which way payloads go, as a client sees it. */
export type WireDirection = 'load' | 'save';

/** Compression on the link between a client and its daemon, as the client has it. */
export class WireLink {
  readonly codec: WireCodec;
  readonly #mode: WireMode;
  readonly #choices: Readonly<Record<WireDirection, WireChoice>> = {
    load: new WireChoice(),
    save: new WireChoice(),
  };

  /** Owns the codec. */
  constructor(codec: WireCodec, mode: WireMode) {
    this.codec = codec;
    this.#mode = mode;
  }

  /** Whether a call with so many payloads lets them travel compressed. */
  async wants(direction: WireDirection, payloads: number): Promise<boolean> {
    if (this.#mode === 'on') return this.codec.start();
    if (!this.#choices[direction].pays(payloads)) return false;
    if (this.codec.isReady) return true;
    // No call waits for threads that start.
    void this.codec.start();
    return false;
  }

  note(direction: WireDirection, transfer: WireTransfer): void {
    this.#choices[direction].note(transfer);
  }

  close(): Promise<void> {
    return this.codec.close();
  }
}

/** Compression as a daemon has it: its clients say when. */
export class WireDoor {
  readonly codec: WireCodec;
  readonly #mode: WireMode;

  /** Owns the codec. */
  constructor(codec: WireCodec, mode: WireMode) {
    this.codec = codec;
    this.#mode = mode;
  }

  /** The codec for what is sent. Undefined while its threads start, unless it is always to be used. */
  get sender(): WireCodec | undefined {
    if (this.#mode === 'on' || this.codec.isReady) return this.codec;
    void this.codec.start();
    return undefined;
  }

  close(): Promise<void> {
    return this.codec.close();
  }
}

/** The same by a setting; undefined for `off`. */
export function wireDoorOf(mode: WireMode | 'off', native: NativeMode): WireDoor | undefined {
  return mode === 'off' ? undefined : new WireDoor(new WireCodec(native), mode);
}

/** Throws for a form that nobody asked for. */
export function refuseCompressed(form: CompressedForm | undefined, mayCompress: boolean): void {
  if (form === undefined || mayCompress) return;
  throw new StoreError('INVALID', 'a payload comes compressed, which was not agreed');
}
