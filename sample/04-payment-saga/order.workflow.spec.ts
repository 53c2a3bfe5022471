import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Test } from '@nestjs/testing';
import { CompensationFailedError, currentManager, NonRetryableError, type WorkflowHandle } from 'nestjs-durable';
import { runInMemory, WorkflowTest } from 'nestjs-durable/testing';
import { DataSource, type Repository } from 'typeorm';

import { AppModule } from './app.module.js';
import { Bank } from './bank.js';
import { OrderWorkflow, Warehouse } from './order.workflow.js';
import { Reservation } from './reservation.entity.js';

let test: WorkflowTest;
let bank: Bank;
let reservations: Repository<Reservation>;

// Keeps the lines that the sample prints out of the test report.
beforeEach(() => void jest.spyOn(console, 'log').mockImplementation(() => undefined));
afterEach(() => void jest.restoreAllMocks());

describe('in the application', () => {
  beforeAll(async () => {
    test = await WorkflowTest.create(Test.createTestingModule({ imports: [AppModule] }));
    bank = test.module.get(Bank);
    reservations = test.module.get(DataSource).getRepository(Reservation);
  }, 60_000);
  afterAll(() => test.close(), 60_000);
  beforeEach(() => reservations.clear());

  it('charges and ships an order, and keeps the goods reserved', async () => {
    const before = bank.balance;
    const run = await test.client.start(OrderWorkflow, { number: 1, cents: 500, carriers: ['rider'] });
    await test.runUntilIdle();
    expect(await run.result()).toBe('order 1 went with rider');
    expect(bank.balance - before).toBe(500);
    expect(await reservedOrders()).toEqual([1]);
  });

  it('refunds the charge and releases the goods when no carrier takes the parcel', async () => {
    const before = bank.balance;
    const handOver = test.fakeStep(Warehouse, 'handOver', () => {
      throw new NonRetryableError('the parcel is too heavy');
    });
    const order = { number: 2, cents: 700, carriers: ['snail', 'rider'] };
    const run = await test.client.start(OrderWorkflow, order);
    await test.runUntilIdle();
    handOver.restore();

    await expect(run.result()).rejects.toMatchObject({ cause: { message: 'no carrier takes the parcel' } });
    expect(handOver.calls).toEqual([
      [order, 'snail'],
      [order, 'rider'],
    ]);
    expect(await compensationsOf(run)).toEqual(['Warehouse.book', 'Warehouse.book#2', 'charge', 'Warehouse.reserve']);
    expect(bank.balance).toBe(before);
    expect(await reservedOrders()).toEqual([]);
  });

  it('rolls the row back when a reservation fails', async () => {
    // The fake of a transactional step is executed in the transaction of the step.
    const reserve = test.fakeStep(Warehouse, 'reserve', async (order) => {
      await currentManager().insert(Reservation, { orderNumber: order.number });
      throw new NonRetryableError('sold out');
    });
    const run = await test.client.start(OrderWorkflow, { number: 6, cents: 500, carriers: ['rider'] });
    await test.runUntilIdle();
    reserve.restore();

    expect(await run.status()).toBe('failed');
    expect(reserve.calls).toHaveLength(1);
    expect(await reservedOrders()).toEqual([]);
    expect(await compensationsOf(run)).toEqual([]);
  });

  it('tries a carrier again after a minute', async () => {
    let attempts = 0;
    const handOver = test.fakeStep(Warehouse, 'handOver', () => {
      if (++attempts < 3) throw new Error('the van is late');
      return 'collected';
    });
    const run = await test.client.start(OrderWorkflow, { number: 3, cents: 900, carriers: ['van'] });
    await test.runUntilIdle();
    expect(await run.status()).toBe('waiting');
    await test.advance('3 minutes');
    handOver.restore();

    expect(await run.result()).toBe('collected');
    expect(attempts).toBe(3);
    expect(await compensationsOf(run)).toEqual([]);
  });

  it('undoes everything when the run is cancelled between two attempts', async () => {
    const before = bank.balance;
    const handOver = test.fakeStep(Warehouse, 'handOver', () => {
      throw new Error('the van is late');
    });
    const run = await test.client.start(OrderWorkflow, { number: 4, cents: 900, carriers: ['van', 'rider'] });
    await test.runUntilIdle();
    expect(await reservedOrders()).toEqual([4]);
    await run.cancel({ reason: 'the customer has changed her mind' });
    await test.runUntilIdle();
    handOver.restore();

    expect(await run.status()).toBe('cancelled');
    expect(handOver.calls).toHaveLength(1);
    expect(await compensationsOf(run)).toEqual(['Warehouse.book', 'charge', 'Warehouse.reserve']);
    expect(bank.balance).toBe(before);
    expect(await reservedOrders()).toEqual([]);
  });

  it('continues with the refund when an operator retries the run', async () => {
    const before = bank.balance;
    bank.isOpen = false;
    const run = await test.client.start(OrderWorkflow, { number: 5, cents: 900, carriers: [] });
    await test.advance('1 second');
    const { error } = await test.client.describe(run.runId);
    expect(error).toBeInstanceOf(CompensationFailedError);
    expect((error as CompensationFailedError).errors).toMatchObject([{ cause: { message: 'the bank is closed' } }]);
    expect(bank.balance - before).toBe(900);

    bank.isOpen = true;
    await test.client.retry(run.runId);
    await test.runUntilIdle();
    expect(await run.status()).toBe('failed');
    expect(bank.balance).toBe(before);
    expect(await reservedOrders()).toEqual([]);
  });

  async function reservedOrders(): Promise<number[]> {
    return (await reservations.find()).map(({ orderNumber }) => orderNumber);
  }

  /** Returns the keys of the steps that were undone, in order. */
  async function compensationsOf(run: WorkflowHandle): Promise<string[]> {
    const steps = await test.stepsOf(run);
    return steps.filter(({ kind }) => kind === 'compensation').map(({ stepKey }) => stepKey.replace('$compensate:', ''));
  }
});

describe('in memory, without a database', () => {
  const cancelled: string[] = [];
  const warehouse = {
    reserve: async () => undefined,
    release: async () => undefined,
    book: async (_order: unknown, carrier: string) => carrier,
    unbook: async (booking: string) => void cancelled.push(booking),
    handOver: async (_order: unknown, carrier: string) => {
      if (carrier === 'snail') throw new NonRetryableError('closed today');
      return `went with ${carrier}`;
    },
  };
  const providers = [Bank, { provide: Warehouse, useValue: warehouse }];

  it('books the next carrier', async () => {
    const { output } = await runInMemory(OrderWorkflow, { number: 7, cents: 500, carriers: ['snail', 'rider'] }, { providers });
    expect(output).toBe('went with rider');
    expect(cancelled).toEqual(['snail']);
  });

  it('refunds the charge when the only carrier is closed', async () => {
    const refunded: string[] = [];
    const { status, steps } = await runInMemory(
      OrderWorkflow,
      { number: 8, cents: 500, carriers: ['snail'] },
      { providers, steps: { charge: () => ({ id: 'ch-8', cents: 500 }), refund: ({ id }) => void refunded.push(id) } },
    );
    expect(status).toBe('failed');
    expect(refunded).toEqual(['ch-8']);
    expect(steps.at(-1)?.stepKey).toBe('$compensated');
  });
});
