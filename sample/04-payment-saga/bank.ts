import { Injectable } from '@nestjs/common';

export interface Charge {
  id: string;
  cents: number;
}

/** Simulated bank. A repeated request with the same key has no effect. */
@Injectable()
export class Bank {
  isOpen = true;
  private readonly seen = new Map<string, number>();

  /** Cents that were charged and not refunded. */
  get balance(): number {
    return [...this.seen.values()].reduce((sum, cents) => sum + cents, 0);
  }

  async charge(cents: number, key: string): Promise<Charge> {
    if (!this.seen.has(key)) console.log(`  bank: charged ${cents}   (${key})`);
    this.seen.set(key, cents);
    return { id: key, cents };
  }

  async refund({ cents }: Charge, key: string): Promise<void> {
    if (!this.isOpen) throw new Error('the bank is closed');
    if (!this.seen.has(key)) console.log(`  bank: refunded ${cents}   (${key})`);
    this.seen.set(key, -cents);
  }
}
