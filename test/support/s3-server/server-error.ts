/** A refusal of the server, as S3 writes it. */
export class S3ServerError extends Error {
  readonly status: number;
  readonly code: string;
  /** More elements of the error's document. */
  readonly details: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    details: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }

  toXml(): string {
    const elements = { Code: this.code, Message: this.message, ...this.details };
    const body = Object.entries(elements).map(([name, text]) => element(name, text));
    return `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${body.join('')}</Error>`;
  }
}

/** An XML element with that text. */
export function element(name: string, text: string | number | boolean): string {
  const escaped = String(text).replace(/[&<>"'\r]/g, (c) => `&#${c.charCodeAt(0)};`);
  return `<${name}>${escaped}</${name}>`;
}
