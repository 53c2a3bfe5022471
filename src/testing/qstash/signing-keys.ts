import { randomBytes } from 'node:crypto';

/** Current and next signing key. The current key signs; rotating makes the next key current. */
export class SigningKeys {
  constructor(
    private currentKey: string = newKey(),
    private nextKey: string = newKey(),
  ) {}

  get current(): string {
    return this.currentKey;
  }

  get next(): string {
    return this.nextKey;
  }

  rotate(): void {
    this.currentKey = this.nextKey;
    this.nextKey = newKey();
  }
}

function newKey(): string {
  return `sig_${randomBytes(20).toString('base64url')}`;
}
