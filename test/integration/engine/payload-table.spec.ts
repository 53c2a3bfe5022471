import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Column, DataSource, Entity, JoinColumn, ManyToOne, OneToMany, PrimaryGeneratedColumn, type Relation } from 'typeorm';

import { PayloadTooLargeError, serializer, Step, Workflow, type WorkflowClient } from '../../../src/index.js';
import { anyValue, isSame } from '../../support/any-value.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

@Entity({ schema: 'shop', name: 'customers' })
class Customer {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column()
  name!: string;

  @Column({ type: 'bigint' })
  credit!: string;

  @OneToMany(() => Purchase, (purchase) => purchase.customer)
  purchases!: Relation<Purchase>[];

  #cached = 'not data';
  private readonly hidden = 'data all the same';

  get greeting(): string {
    return `Dear ${this.name} (${this.#cached}, ${this.hidden})`;
  }
}

@Entity({ schema: 'shop', name: 'purchases' })
class Purchase {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column({ type: 'timestamptz' })
  at!: Date;

  @Column({ type: 'jsonb' })
  details!: { tags: string[] };

  @ManyToOne(() => Customer, (customer) => customer.purchases)
  @JoinColumn()
  customer!: Relation<Customer>;
}

class Celsius {
  constructor(readonly degrees: number) {}
}

/** Input and step output that a workflow received, by the name of the workflow. */
const seen = new Map<string, unknown[]>();

@Workflow({ name: 'table', retry: { maxAttempts: 1 } })
class TableWorkflow {
  async run(input: unknown): Promise<unknown> {
    const output = await this.echo(input);
    const thrown = await this.fail(input).catch((error: Error) => error);
    return { input, output, cause: ((thrown as Error).cause as Error).cause };
  }

  @Step()
  async echo(value: unknown): Promise<unknown> {
    return value;
  }

  @Step()
  async fail(value: unknown): Promise<void> {
    throw new Error('with a cause', { cause: value });
  }
}

@Workflow({ name: 'look', retry: { maxAttempts: 1 } })
class LookWorkflow {
  async run(input: unknown): Promise<unknown> {
    const output = await this.echo(input);
    seen.set('look', [input, output]);
    return output;
  }

  @Step()
  async echo(value: unknown): Promise<unknown> {
    return value;
  }
}

@Workflow({ name: 'shout', retry: { maxAttempts: 1 } })
class ShoutWorkflow {
  async run(length: number): Promise<void> {
    await this.shout(length);
  }

  @Step()
  async shout(length: number): Promise<void> {
    throw Object.assign(new RangeError('x'.repeat(length)), { response: 'y'.repeat(length) });
  }
}

describe('payloads stored in the database', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  const workflows = [TableWorkflow, LookWorkflow, ShoutWorkflow];
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  beforeEach(async () => {
    ({ client } = await startApplication(database.url, workflows, { deploymentId: 'one' }));
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  it('have the same value as input, step output, cause of an error and result, in the run and for the client', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyValue, { minLength: 1, maxLength: 15 }), async (values) => {
        const handles = await client.startMany(TableWorkflow, values);
        await Promise.all(
          handles.map(async (handle, index) => {
            const value = values[index];
            const result = (await handle.result()) as { input: unknown; output: unknown; cause: unknown };
            for (const back of [result.input, result.output]) if (!isSame(back, value)) throw new Error('came back as something else');
            // An error whose cause is undefined is stored without a cause.
            if (value !== undefined && !isSame(result.cause, value)) throw new Error('came back as another cause');
            const { input } = await handle.describe();
            const [step] = await handle.steps();
            if (!isSame(input, value) || !isSame(step!.output, value)) throw new Error('is described as something else');
          }),
        );
      }),
      { numRuns: 15 },
    );
  });

  it('TypeORM entities are plain data for the workflow, in the first pass too', async () => {
    await database.query('CREATE SCHEMA shop');
    const dataSource = new DataSource({ type: 'postgres', url: database.url, entities: [Customer, Purchase], synchronize: true });
    await dataSource.initialize();
    try {
      const { manager } = dataSource;
      const { id } = await manager.save(manager.create(Customer, { name: 'Ada', credit: '9007199254740993' }));
      await manager.save(manager.create(Purchase, { at: new Date(86_400_000), details: { tags: ['a'] }, customer: { id } }));
      const customer = await manager.findOneOrFail(Customer, { where: { id }, relations: { purchases: true } });
      expect(customer.greeting).toContain('Dear Ada');
      const result = await client.execute(LookWorkflow, customer);
      const plain = {
        id,
        name: 'Ada',
        credit: '9007199254740993',
        hidden: 'data all the same',
        purchases: [{ id: 1, at: new Date(86_400_000), details: { tags: ['a'] } }],
      };
      for (const value of [...seen.get('look')!, result]) {
        expect(value).toStrictEqual(plain);
        expect(Object.getPrototypeOf((value as typeof plain).purchases[0])).toBe(Object.prototype);
      }
    } finally {
      await dataSource.destroy();
    }
  });

  it('entities that refer to each other are refused, with the path of the cycle', async () => {
    const customer = Object.assign(new Customer(), { name: 'Ada' });
    customer.purchases = [Object.assign(new Purchase(), { customer })];
    await expect(client.start(LookWorkflow, customer)).rejects.toMatchObject({
      code: 'SERIALIZATION',
      path: 'input.purchases[0].customer',
    });
    await expect(client.startMany(LookWorkflow, [{}, customer])).rejects.toMatchObject({ path: 'inputs[1].purchases[0].customer' });
  });

  it('an error of 10 MB is truncated in the rows of its step and its run', async () => {
    const handle = await client.start(ShoutWorkflow, 10_000_000);
    const error = (await handle.result().catch((thrown: unknown) => thrown)) as Error;
    const original = (error.cause as Error).cause as Error & { response?: string };
    expect(original.name).toBe('RangeError');
    expect(original.message.startsWith('xxx')).toBe(true);
    expect(original.message.length).toBeLessThan(70_000);
    expect(original.response).toBeUndefined();
    const [row] = await database.query<{ run: number; step: number }>(
      `SELECT octet_length(r.error::text) AS run, octet_length(s.error::text) AS step FROM durable.workflow_runs r JOIN durable.workflow_steps s ON s.run_id = r.id WHERE r.id = $1`,
      [handle.runId],
    );
    expect(row!.run).toBeLessThan(300_000);
    expect(row!.step).toBeLessThan(300_000);
  });

  it('inputs of 10 MB are refused, and nothing is written', async () => {
    const before = await database.query('SELECT count(*) FROM durable.workflow_runs');
    await expect(client.start(LookWorkflow, 'x'.repeat(10_000_000))).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE', subject: 'input' });
    await expect(client.startMany(LookWorkflow, ['x', 'x'.repeat(5_000_000)])).rejects.toBeInstanceOf(PayloadTooLargeError);
    expect(await database.query('SELECT count(*) FROM durable.workflow_runs')).toEqual(before);
  });

  it('an input of a class that a deployment has not registered blocks its run until a deployment has', async () => {
    serializer.register(Celsius, {
      name: 'Celsius',
      serialize: ({ degrees }) => degrees,
      deserialize: (degrees: number) => new Celsius(degrees),
    });
    const registered = await client.execute(LookWorkflow, { at: new Celsius(20) });
    expect(registered).toStrictEqual({ at: new Celsius(20) });
    expect(seen.get('look')).toStrictEqual([{ at: new Celsius(20) }, { at: new Celsius(20) }]);

    const handle = await client.start(LookWorkflow, new Celsius(30), { delay: '1h' });
    // Stores the input as a process would that has registered a class unknown to this process.
    await database.query(
      `UPDATE durable.workflow_runs SET input = replace(input::text, 'Celsius', 'Kelvin')::json, status = 'pending', wake_at = NULL, ready_at = now() WHERE id = $1`,
      [handle.runId],
    );
    await waitFor(async () => {
      const [run] = await database.query(`SELECT status, blocked_deployments FROM durable.workflow_runs WHERE id = $1`, [handle.runId]);
      return run.status === 'waiting' && run.blocked_deployments?.includes('one');
    });
    await expect(handle.describe()).rejects.toMatchObject({ code: 'PAYLOAD_UNREADABLE', message: expect.stringContaining('"Kelvin"') });

    class Kelvin extends Celsius {}
    serializer.register(Kelvin, {
      name: 'Kelvin',
      serialize: ({ degrees }) => degrees,
      deserialize: (degrees: number) => new Kelvin(degrees),
    });
    await startApplication(database.url, workflows, { deploymentId: 'two' });
    await expect(handle.result({ timeout: seconds(45) })).resolves.toStrictEqual(new Kelvin(30));
  });
});
