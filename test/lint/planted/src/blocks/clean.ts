export interface Block {
  readonly length: number;
}
