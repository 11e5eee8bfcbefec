import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** A message in the order in which its parts come. */
export interface LlhttpEvents {
  onHead(fields: readonly string[]): void;
  /** Bytes of a body, in memory of the parser: valid until this returns. */
  onBody(bytes: Uint8Array): void;
  onEnd(): void;
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  _initialize(): void;
  llhttp_alloc(type: number): number;
  llhttp_execute(parser: number, at: number, length: number): number;
  malloc(length: number): number;
}

type WasmCallback = (parser: number, at: number, length: number) => number;

/** Numbers of kinds of messages, as llhttp has them. */
const types = { request: 1, response: 2 } as const;
const receiveBytes = 64 * 1024;

/** llhttp in WebAssembly, as undici brings it, driven as undici does: bytes lie in memory of its own to be read. */
export class Llhttp {
  /** Where what is received is put. */
  readonly input: Uint8Array;
  readonly #exports: Exports;
  readonly #parser: number;
  readonly #inputAt: number;

  constructor(type: keyof typeof types, events: LlhttpEvents, inputBytes = receiveBytes) {
    const fields: string[] = [];
    const bytesAt = (at: number, length: number): Uint8Array =>
      new Uint8Array(this.#exports.memory.buffer, at, length);
    const keep: WasmCallback = (_, at, length) => {
      fields.push(Buffer.from(this.#exports.memory.buffer, at, length).toString('latin1'));
      return 0;
    };
    const nothing = (): number => 0;
    const env = {
      ...{ wasm_on_url: keep, wasm_on_header_field: keep, wasm_on_header_value: keep },
      ...{ wasm_on_status: nothing, wasm_on_message_begin: nothing },
      wasm_on_headers_complete: () => {
        events.onHead(fields.splice(0));
        return 0;
      },
      wasm_on_body: ((_, at, length) => {
        events.onBody(bytesAt(at, length));
        return 0;
      }) satisfies WasmCallback,
      wasm_on_message_complete: () => {
        events.onEnd();
        return 0;
      },
    };
    this.#exports = instanceWith(env);
    this.#exports._initialize();
    this.#parser = this.#exports.llhttp_alloc(types[type]);
    this.#inputAt = this.#exports.malloc(inputBytes);
    this.input = bytesAt(this.#inputAt, inputBytes);
  }

  /** Reads so many bytes of the input. */
  execute(length: number): void {
    const failure = this.#exports.llhttp_execute(this.#parser, this.#inputAt, length);
    if (failure !== 0) throw new Error(`llhttp refuses the message: ${failure}`);
  }
}

/** The version of undici whose parser it is. */
export function llhttpVersion(): string {
  const path = createRequire(import.meta.url).resolve('undici/package.json');
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string };
  return `undici ${version}`;
}

/** As much of it as is used here; the types of Node have less. */
interface Wasm {
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}

function instanceWith(env: object): Exports {
  const require = createRequire(import.meta.url);
  const code = require('undici/lib/llhttp/llhttp_simd-wasm.js') as Uint8Array;
  const { WebAssembly: wasm } = globalThis as unknown as { readonly WebAssembly: Wasm };
  return new wasm.Instance(new wasm.Module(code), { env }).exports as Exports;
}
