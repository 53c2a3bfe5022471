import { Injectable } from '@nestjs/common';
import { currentStep, Step } from 'nestjs-durable';

import type { Item } from './order.js';
import { OutsideWorld } from './outside-world.js';

@Injectable()
export class InventoryService {
  constructor(private readonly world: OutsideWorld) {}

  /** Reserves one item. The calls run in parallel, and the key distinguishes them. */
  @Step({ key: (item: Item) => item.sku, retry: { maxAttempts: 5, initialInterval: '200ms' } })
  async reserve(item: Item): Promise<void> {
    const busy = item.sku === 'TEAPOT' && currentStep().attempt === 1;
    await this.world.request(`${item.quantity} x ${item.sku}`, 250, busy ? 'the warehouse is busy' : undefined);
  }
}
