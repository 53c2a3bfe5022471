import { randomBytes } from 'node:crypto';

/**
 * The current and the next signing key. The current key signs. Rotating the keys makes the next key
 * the current key.
 */
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
