import { setTimeout as sleep } from 'node:timers/promises';

import { getDataSourceToken, InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Column, Entity, PrimaryColumn, type DataSource, type EntityManager, type Repository } from 'typeorm';

import {
  currentManager,
  currentStep,
  defineSignal,
  NotInTransactionError,
  Step,
  StepFailedError,
  Workflow,
  WorkflowClient,
  type StepIsolation,
  type WorkflowContext,
} from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { seconds, waitFor } from '../support/wait.js';
import { configured } from './configured.js';

@Entity('accounts')
class Account {
  @PrimaryColumn('text')
  id!: string;

  @Column('int')
  cents!: number;
}

const go = defineSignal('go');

/** Functions of the tests that the bodies call, by name. */
const hooks: Record<string, (manager: EntityManager) => unknown> = {};
/** Number of executions of bodies, by key. */
const executions = new Map<string, number>();

function count(key: string): number {
  const next = (executions.get(key) ?? 0) + 1;
  executions.set(key, next);
  return next;
}

interface Transfer {
  readonly from: string;
  readonly to: string;
  readonly cents: number;
}

@Workflow({ name: 'transfers' })
class TransferWorkflow {
  constructor(@InjectRepository(Account) private readonly accounts: Repository<Account>) {}

  async run(transfer: Transfer): Promise<{ before: number; seen: number }> {
    const before = await this.move(transfer);
    return { before, seen: await this.look(transfer.from) };
  }

  @Step({ transactional: true })
  async move({ from, to, cents }: Transfer): Promise<number> {
    const accounts = currentManager().getRepository(Account);
    const { cents: before } = await accounts.findOneByOrFail({ id: from });
    await accounts.decrement({ id: from }, 'cents', cents);
    await accounts.increment({ id: to }, 'cents', cents);
    return before;
  }

  /** Returns the committed cents, which a repository outside of a transaction reads. */
  @Step()
  async look(id: string): Promise<number> {
    return (await this.accounts.findOneByOrFail({ id })).cents;
  }
}

/** Moves money, fails, and gives the money back in a transaction too. */
@Workflow({ name: 'undone transfers', retry: { maxAttempts: 1 } })
class UndoneTransferWorkflow {
  async run(transfer: Transfer, ctx: WorkflowContext): Promise<void> {
    await this.move(transfer);
    await ctx.step('refuse', () => {
      throw new Error('refused');
    });
  }

  @Step({ transactional: { isolation: 'REPEATABLE READ' }, compensate: 'giveBack' })
  async move({ from, to, cents }: Transfer): Promise<string> {
    const accounts = currentManager().getRepository(Account);
    await accounts.decrement({ id: from }, 'cents', cents);
    await accounts.increment({ id: to }, 'cents', cents);
    return from;
  }

  @Step({ transactional: true })
  async giveBack(_from: string, { from, to, cents }: Transfer): Promise<void> {
    const accounts = currentManager().getRepository(Account);
    await accounts.decrement({ id: to }, 'cents', cents);
    await accounts.increment({ id: from }, 'cents', cents);
    const { stepKey } = currentStep();
    // The first execution is rolled back with its writes.
    if (count(`${stepKey} ${from}`) === 1) await currentManager().query(`DO 'BEGIN RAISE serialization_failure; END'`);
  }
}

/** Calls a function of the test in a transactional step, with the options that the input names. */
@Workflow({ name: 'calls' })
class CallsWorkflow {
  async run(
    { hook, isolation, attempts = 1, timeout }: { hook: string; isolation?: StepIsolation; attempts?: number; timeout?: number },
    ctx: WorkflowContext,
  ): Promise<unknown> {
    const transactional = isolation === undefined ? (true as const) : { isolation };
    const retry = { maxAttempts: attempts, initialInterval: 10 };
    const result = await ctx.step('call', { transactional, retry, ...(timeout === undefined ? {} : { timeout }) }, () =>
      hooks[hook]!(currentManager()),
    );
    await ctx.step('after', () => undefined);
    return result;
  }
}

/** Steps in parallel, some with a transaction, and a race. */
@Workflow({ name: 'parallel' })
class ParallelWorkflow {
  async run(id: string, ctx: WorkflowContext): Promise<string[]> {
    const order: string[] = [];
    const transactional = (name: string): Promise<void> =>
      ctx
        .step(name, { transactional: true }, () => currentManager().query<void>('INSERT INTO notes VALUES ($1)', [`${id} ${name}`]))
        .then(() => void order.push(name));
    const plain = (name: string): Promise<void> => ctx.step(name, () => sleep(Math.random() * 4)).then(() => void order.push(name));
    await Promise.all([plain('a'), transactional('b'), plain('c'), transactional('d'), plain('e'), transactional('f'), plain('g')]);
    await ctx.sleep(1);
    return order;
  }
}

@Workflow({ name: 'waits between' })
class WaitsBetweenWorkflow {
  async run(id: string, ctx: WorkflowContext): Promise<void> {
    await ctx.step('first', { transactional: true }, () => this.note(`${id} 1`));
    await ctx.waitForSignal(go);
    await ctx.step('second', { transactional: true }, () => this.note(`${id} 2`));
  }

  private async note(text: string): Promise<void> {
    count(text);
    await currentManager().query('INSERT INTO notes VALUES ($1)', [text]);
  }
}

/** A transactional step, and a step beside it that ends while the transaction commits. */
@Workflow({ name: 'beside' })
class BesideWorkflow {
  async run(hook: string, ctx: WorkflowContext): Promise<string[]> {
    const order: string[] = [];
    const slow = ctx.step(hook, { transactional: true }, () => hooks[hook]!(currentManager()));
    const beside = ctx.step('beside', async () => {
      await waitFor(() => executions.get('may end'));
      count('beside');
    });
    await Promise.all([slow.then(() => order.push(hook)), beside.then(() => order.push('beside'))]);
    return order;
  }
}

/** Transactional steps whose compensations are transactional too. */
@Workflow({ name: 'undone', retry: { maxAttempts: 2, initialInterval: 10 } })
class UndoneWorkflow {
  async run(id: string, ctx: WorkflowContext): Promise<void> {
    await this.add(id, 1);
    await this.add(id, 2);
    if (hooks[id])
      await ctx.step('held', { transactional: true, compensate: () => void count(`undo ${id}`) }, () => hooks[id]!(currentManager()));
    throw new Error('sold out');
  }

  @Step({ transactional: true, compensate: 'remove' })
  async add(id: string, number: number): Promise<string> {
    await currentManager().query('INSERT INTO notes VALUES ($1)', [`${id} ${number}`]);
    return `${id} ${number}`;
  }

  @Step({ transactional: { isolation: 'SERIALIZABLE' } })
  async remove(note: string, id: string, number: number): Promise<void> {
    await currentManager().query('INSERT INTO notes VALUES ($1)', [`${id} minus ${number}`]);
    if (currentStep().attempt === 1) throw new Error(`${note} cannot be removed yet`);
    expect(await currentManager().query('SHOW transaction_isolation')).toEqual([{ transaction_isolation: 'serializable' }]);
  }
}

@Workflow({ name: 'plain' })
class PlainWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('plain', { retry: { maxAttempts: 1 } }, () => void currentManager());
  }
}

@Workflow({ name: 'child' })
class ChildWorkflow {
  async run(name: string): Promise<string> {
    return `child ${name}`;
  }
}

const PROVIDERS = [
  TransferWorkflow,
  UndoneTransferWorkflow,
  CallsWorkflow,
  ParallelWorkflow,
  WaitsBetweenWorkflow,
  BesideWorkflow,
  PlainWorkflow,
  ChildWorkflow,
  UndoneWorkflow,
];

describe('a transactional step', () => {
  let database: TestDatabase;
  let application: TestApplication;
  let client: WorkflowClient;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await createTestDatabase();
    const orm = TypeOrmModule.forRoot({ type: 'postgres', url: database.url, entities: [Account], synchronize: true, extra: { max: 6 } });
    application = await startApplication(database.url, PROVIDERS, { ...configured(), worker: {} }, [
      orm,
      TypeOrmModule.forFeature([Account]),
    ]);
    client = application.client;
    dataSource = application.module.get<DataSource>(getDataSourceToken());
    await database.query('CREATE TABLE notes (note text PRIMARY KEY)');
  });
  beforeEach(() => executions.clear());
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  let runs = 0;
  const call = async (hook: (manager: EntityManager) => unknown, options: object = {}) => {
    const name = `hook ${++runs}`;
    hooks[name] = hook;
    return client.start(CallsWorkflow, { hook: name, ...options }, { id: name });
  };
  const notes = async (prefix: string): Promise<string[]> =>
    (await database.query<{ note: string }>('SELECT note FROM notes WHERE starts_with(note, $1) ORDER BY note', [prefix])).map(
      ({ note }) => note,
    );
  const note = (manager: EntityManager, text: string) => manager.query('INSERT INTO notes VALUES ($1)', [text]);
  const noOpenTransactions = () =>
    waitFor(
      async () =>
        (
          await database.query(
            `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
               AND application_name <> 'nestjs-durable'`,
          )
        ).length === 0,
      { message: 'all transactions to end' },
    );
  const failure = async (handle: { result(options: object): Promise<unknown> }) =>
    handle.result({ timeout: seconds(30) }).then(
      () => undefined,
      (error: Error) => error.cause as StepFailedError,
    );

  it('commits the writes of the body together with the result of the step', async () => {
    await dataSource.getRepository(Account).insert([
      { id: 'a', cents: 100 },
      { id: 'b', cents: 0 },
    ]);
    const handle = await client.start(TransferWorkflow, { from: 'a', to: 'b', cents: 30 }, { id: 'transfer' });
    await expect(handle.result({ timeout: seconds(30) })).resolves.toEqual({ before: 100, seen: 70 });
    const [row] = await database.query(
      `SELECT s.xmin::text = a.xmin::text AS "isOneTransaction", s.seq, s.epoch FROM durable.workflow_steps s, accounts a
       WHERE s.run_id = 'transfer' AND s.step_key = 'move' AND a.id = 'b'`,
    );
    expect(row).toMatchObject({ isOneTransaction: true, seq: 1 });
  });

  it('undoes a transfer in a transaction of the compensation', async () => {
    const accounts = dataSource.getRepository(Account);
    await accounts.insert([
      { id: 'c', cents: 100 },
      { id: 'd', cents: 0 },
    ]);
    const handle = await client.start(UndoneTransferWorkflow, { from: 'c', to: 'd', cents: 30 }, { id: 'undone transfer' });
    await expect(failure(handle)).resolves.toMatchObject({ message: expect.stringContaining('refuse') });
    expect(await accounts.find({ where: [{ id: 'c' }, { id: 'd' }], order: { id: 'ASC' } })).toEqual([
      { id: 'c', cents: 100 },
      { id: 'd', cents: 0 },
    ]);
    expect(executions.get('$compensate:move c')).toBe(2);
    const [row] = await database.query(
      `SELECT s.xmin::text = a.xmin::text AS "isOneTransaction", s.attempts FROM durable.workflow_steps s, accounts a
       WHERE s.run_id = 'undone transfer' AND s.step_key = '$compensate:move' AND a.id = 'd'`,
    );
    expect(row).toEqual({ isOneTransaction: true, attempts: 1 });
  });

  it('writes neither rows nor result when the body fails, and both when a later attempt succeeds', async () => {
    const seen: number[] = [];
    const handle = await call(
      async (manager) => {
        const { attempt } = currentStep();
        seen.push(attempt);
        await note(manager, `failing ${attempt}`);
        if (attempt < 3) throw new Error('not yet');
        return attempt;
      },
      { attempts: 3 },
    );
    await expect(handle.result({ timeout: seconds(30) })).resolves.toBe(3);
    expect(seen).toEqual([1, 2, 3]);
    expect(await notes('failing')).toEqual(['failing 3']);
    const [step] = await client.steps(handle.runId).then((page) => ('items' in page ? page.items : page) as { attempts: number }[]);
    expect(step).toMatchObject({ attempts: 3 });
    expect(await database.query('SELECT 1 FROM durable.workflow_waits WHERE run_id = $1', [handle.runId])).toEqual([]);
  });

  it('fails the step, and writes nothing, when a deferred constraint refuses the commit', async () => {
    await database.query('CREATE TABLE lines (id text PRIMARY KEY, note text REFERENCES notes DEFERRABLE INITIALLY DEFERRED)');
    const handle = await call((manager) => manager.query(`INSERT INTO lines VALUES ('orphan', 'none')`));
    const error = await failure(handle);
    expect(error).toBeInstanceOf(StepFailedError);
    expect((error!.cause as Error).message).toMatch(/foreign key/);
    expect(await database.query('SELECT * FROM lines')).toEqual([]);
    expect((await database.query('SELECT status FROM durable.workflow_steps WHERE run_id = $1', [handle.runId]))[0]).toEqual({
      status: 'failed',
    });
  });

  it.each<[string, StepIsolation]>([
    ['40001', 'REPEATABLE READ'],
    ['40001', 'SERIALIZABLE'],
  ])('repeats the body after %s under %s without counting an attempt', async (_, isolation) => {
    const id = `conflict ${isolation}`;
    await dataSource.getRepository(Account).insert({ id, cents: 0 });
    const handle = await call(
      async (manager) => {
        const { cents } = await manager.findOneByOrFail(Account, { id });
        expect(await manager.query('SHOW transaction_isolation')).toEqual([{ transaction_isolation: isolation.toLowerCase() }]);
        if (count(id) < 3) await database.query('UPDATE accounts SET cents = cents + 1 WHERE id = $1', [id]);
        await manager.update(Account, { id }, { cents: cents + 100 });
        return currentStep().attempt;
      },
      { isolation },
    );
    await expect(handle.result({ timeout: seconds(30) })).resolves.toBe(1);
    expect(executions.get(id)).toBe(3);
    expect(await dataSource.getRepository(Account).findOneByOrFail({ id })).toMatchObject({ cents: 102 });
  });

  it('repeats the body of the loser of a deadlock without counting an attempt', async () => {
    await dataSource.getRepository(Account).insert([
      { id: 'left', cents: 0 },
      { id: 'right', cents: 0 },
    ]);
    const cross = (first: string, second: string) => async (manager: EntityManager) => {
      await manager.increment(Account, { id: first }, 'cents', 1);
      if (count('crossings') <= 2) await waitFor(() => executions.get('crossings')! >= 2);
      await manager.increment(Account, { id: second }, 'cents', 1);
      return currentStep().attempt;
    };
    const handles = await Promise.all([call(cross('left', 'right')), call(cross('right', 'left'))]);
    for (const handle of handles) await expect(handle.result({ timeout: seconds(30) })).resolves.toBe(1);
    expect(executions.get('crossings')).toBe(3);
    expect(await dataSource.getRepository(Account).findOneByOrFail({ id: 'left' })).toMatchObject({ cents: 2 });
  });

  it('gives up after ten conflicts, and then counts one attempt', async () => {
    const handle = await call(() => {
      count('always');
      throw Object.assign(new Error('conflict'), { code: '40001' });
    });
    expect((await failure(handle))!.attempts).toBe(1);
    expect(executions.get('always')).toBe(10);
  });

  it('keeps the outer writes when a nested transaction is rolled back', async () => {
    const handle = await call(async (manager) => {
      await note(manager, 'nested outer');
      await manager
        .transaction(async (nested) => {
          await note(nested, 'nested inner');
          throw new Error('inner');
        })
        .catch(() => undefined);
      await manager.transaction((nested) => note(nested, 'nested kept'));
    });
    await handle.result({ timeout: seconds(30) });
    expect(await notes('nested')).toEqual(['nested kept', 'nested outer']);
  });

  it('undoes transactional steps by transactional compensations', async () => {
    const handle = await client.start(UndoneWorkflow, 'undone', { id: 'undone' });
    await expect(handle.result({ timeout: seconds(30) })).rejects.toMatchObject({ cause: { message: 'sold out' } });
    expect(await notes('undone')).toEqual(['undone 1', 'undone 2', 'undone minus 1', 'undone minus 2']);
    const rows = await database.query(
      `SELECT s.step_key AS key, s.compensate_args AS args, s.xmin::text = n.xmin::text AS one FROM durable.workflow_steps s
       LEFT JOIN notes n ON n.note = 'undone minus ' || CASE s.step_key WHEN '$compensate:add' THEN '1' ELSE '2' END
       WHERE s.run_id = 'undone' AND s.kind IN ('step', 'compensation') ORDER BY s.seq`,
    );
    expect(rows).toEqual([
      { key: 'add', args: ['undone', 1], one: false },
      { key: 'add#2', args: ['undone', 2], one: false },
      { key: '$compensate:add#2', args: null, one: true },
      { key: '$compensate:add', args: null, one: true },
    ]);
  });

  it('undoes a step whose transaction was committing when the run was cancelled, and no other', async () => {
    for (const [id, outcome] of [
      ['undone late', 'committed'],
      ['undone back', 'rolled back'],
    ] as const) {
      hooks[id] = async (manager) => {
        await note(manager, `${id} 3`);
        await client.cancel(id);
        if (outcome === 'rolled back') await waitFor(() => currentStep().abortSignal.aborted);
      };
      const handle = await client.start(UndoneWorkflow, id, { id });
      await expect(handle.result({ timeout: seconds(30) })).rejects.toThrow(/cancelled|sold out/);
      const [row] = await database.query<{ status: string }>(
        `SELECT status FROM durable.workflow_steps WHERE run_id = $1 AND step_key = 'held'`,
        [id],
      );
      expect((await notes(`${id} 3`)).length).toBe(row!.status === 'completed' ? 1 : 0);
      expect(executions.get(`undo ${id}`) ?? 0).toBe(row!.status === 'completed' ? 1 : 0);
      expect((await notes(`${id} minus`)).length).toBe(2);
    }
  });

  it('starts a run in the transaction of the step', async () => {
    const handle = await call(
      async (manager) => {
        await client.start(ChildWorkflow, 'x', { id: `started ${currentStep().attempt}`, manager });
        if (currentStep().attempt === 1) throw new Error('once');
      },
      { attempts: 2 },
    );
    await handle.result({ timeout: seconds(30) });
    await expect(client.getHandle(ChildWorkflow, 'started 2').result({ timeout: seconds(30) })).resolves.toBe('child x');
    expect(await database.query(`SELECT id FROM durable.workflow_runs WHERE id LIKE 'started%'`)).toEqual([{ id: 'started 2' }]);
  });

  it('records parallel steps in the order in which their results reach the code', async () => {
    const ids = Array.from({ length: 20 }, (_, index) => `par ${index}`);
    const handles = await Promise.all(ids.map((id) => client.start(ParallelWorkflow, id, { id })));
    for (const handle of handles) {
      const order = await handle.result({ timeout: seconds(30) });
      const rows = await database.query(
        `SELECT step_key, seq FROM durable.workflow_steps WHERE run_id = $1 AND kind = 'step' ORDER BY seq`,
        [handle.runId],
      );
      expect(rows.map((row) => row.step_key)).toEqual(order);
      expect(rows.map((row) => row.seq)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    }
    expect(await notes('par ')).toHaveLength(60);
  });

  it('locks only the run, and only for the commit, during which no other result gets a number', async () => {
    // A deferred trigger keeps the commit waiting for a lock that the test holds.
    await database.query(`CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END';
      CREATE TABLE slow (id text);
      CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_for_test()`);
    const locked = async (): Promise<{ runs: number; sessions: number }> => {
      const missing = async (table: string, lock: string, where: string) => {
        const from = `FROM durable.${table} ${where}`;
        const free = await database.query(`SELECT 1 ${from} FOR ${lock} SKIP LOCKED`);
        return (await database.query(`SELECT 1 ${from}`)).length - free.length;
      };
      return {
        runs: await missing('workflow_runs', 'NO KEY UPDATE', `WHERE id = 'slow'`),
        sessions: await missing(
          'workflow_sessions',
          'UPDATE',
          `WHERE id = (SELECT session_id FROM durable.workflow_runs WHERE id = 'slow')`,
        ),
      };
    };
    const gate = dataSource.createQueryRunner();
    await gate.startTransaction();
    await gate.query('SELECT pg_advisory_xact_lock(4711)');
    let wasInBody = false;
    // A heartbeat or a claim may hold a lock for a moment.
    const untilLocked = (runs: number) =>
      waitFor(async () => {
        const found = await locked();
        return found.runs === runs && found.sessions === 0;
      });
    hooks['slow'] = async (manager) => {
      await manager.query(`INSERT INTO slow VALUES ('a')`);
      await untilLocked(0);
      wasInBody = true;
    };
    const handle = await client.start(BesideWorkflow, 'slow', { id: 'slow' });
    await waitFor(() => wasInBody);
    await untilLocked(1);
    count('may end');
    await waitFor(() => executions.get('beside'));
    await sleep(50);
    expect(await database.query(`SELECT 1 FROM durable.workflow_steps WHERE run_id = 'slow'`)).toEqual([]);
    await gate.rollbackTransaction();
    await gate.release();
    await expect(handle.result({ timeout: seconds(30) })).resolves.toEqual(['slow', 'beside']);
    expect(await database.query(`SELECT step_key, seq FROM durable.workflow_steps WHERE run_id = 'slow' ORDER BY seq`)).toEqual([
      { step_key: 'slow', seq: 1 },
      { step_key: 'beside', seq: 2 },
    ]);
  });

  it('executes no transactional body again when the run is suspended and continued', async () => {
    const handle = await client.start(WaitsBetweenWorkflow, 'pause', { id: 'pause' });
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.signal(go);
    await handle.result({ timeout: seconds(30) });
    expect([executions.get('pause 1'), executions.get('pause 2')]).toEqual([1, 1]);
    expect(await notes('pause')).toEqual(['pause 1', 'pause 2']);
  });

  it('rolls back at once when the timeout has passed, even in the middle of a statement', async () => {
    const handle = await call(
      async (manager) => {
        await note(manager, 'late');
        await manager.query('SELECT pg_sleep(60)');
      },
      { timeout: 200 },
    );
    expect((await failure(handle))!.cause).toMatchObject({ name: 'StepTimeoutError' });
    await noOpenTransactions();
    expect(await notes('late')).toEqual([]);
  });

  it('rolls back when the run is cancelled, and refuses what the body writes later', async () => {
    let late: Promise<unknown> | undefined;
    const handle = await call(async (manager) => {
      await note(manager, 'cancelled');
      count('cancelled');
      await new Promise((resolve) => currentStep().abortSignal.addEventListener('abort', resolve));
      late = note(manager, 'too late').catch((error: unknown) => error);
      await late;
    });
    await waitFor(() => executions.get('cancelled'));
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(30) })).rejects.toMatchObject({ code: 'WORKFLOW_CANCELLED' });
    expect(await late).toBeInstanceOf(Error);
    await noOpenTransactions();
    expect([await notes('cancelled'), await notes('too late')]).toEqual([[], []]);
  });

  it('refuses statements that nobody awaited, and an unfinished nested transaction', async () => {
    let stray: Promise<unknown> | undefined;
    const handle = await call((manager) => {
      stray = sleep(1).then(() => note(manager, 'stray'));
      stray.catch(() => undefined);
      return currentStep().attempt;
    });
    await handle.result({ timeout: seconds(30) });
    await expect(stray).rejects.toThrow();
    const unfinished = await call(
      (manager) => new Promise<void>((begun) => void manager.transaction(() => new Promise(() => begun())).catch(() => undefined)),
    );
    expect((await failure(unfinished))!.cause).toMatchObject({ code: 'INVALID_INPUT' });
    await noOpenTransactions();
    expect(await notes('stray')).toEqual([]);
  });

  it.each(['COMMIT', 'ROLLBACK'])('refuses %s in the body', async (statement) => {
    const handle = await call(async (manager) => {
      await note(manager, 'by hand');
      await manager.query(statement);
    });
    expect((await failure(handle))!.cause).toMatchObject({ code: 'INVALID_INPUT' });
    expect(await notes('by hand')).toEqual([]);
  });

  it.each<[string, (manager: EntityManager) => Promise<unknown>]>([
    ['releases its query runner', (manager) => manager.queryRunner!.release()],
    ['rolls back on the connection of the driver', async (manager) => (await manager.queryRunner!.connect()).query('ROLLBACK')],
    ['commits on the connection of the driver', async (manager) => (await manager.queryRunner!.connect()).query('COMMIT')],
    [
      'commits on the connection of the driver, and begins another transaction',
      async (manager) => (await manager.queryRunner!.connect()).query({ text: 'SELECT 1; commit; begin' }),
    ],
    [
      'commits on the connection of the driver, with a callback, and begins another transaction',
      async (manager) => {
        const driver = await manager.queryRunner!.connect();
        await new Promise((resolve) => driver.query('COMMIT AND CHAIN', resolve));
      },
    ],
  ])('fails, writes nothing and keeps the connection clean when the body %s', async (what, end) => {
    const handle = await call(async (manager) => {
      await note(manager, `ended ${what}`);
      await end(manager);
    });
    expect((await failure(handle))!.cause).toMatchObject({ code: 'INVALID_INPUT' });
    await noOpenTransactions();
    expect(await notes('ended')).toEqual([]);
  });

  it('throws NotInTransactionError outside of the body of a transactional step', async () => {
    expect(() => currentManager()).toThrow(NotInTransactionError);
    let later: Promise<unknown> | undefined;
    const handle = await call(async () => {
      await sleep(1);
      later = sleep(50).then(() => currentManager());
      later.catch(() => undefined);
      return currentManager().queryRunner?.isTransactionActive;
    });
    await expect(handle.result({ timeout: seconds(30) })).resolves.toBe(true);
    await expect(later).rejects.toMatchObject({ code: 'NOT_IN_TRANSACTION' });
    const plain = await client.start(PlainWorkflow, undefined, { id: 'plain' });
    expect((await failure(plain))!.cause).toMatchObject({ code: 'NOT_IN_TRANSACTION' });
  });

  it('fails with a typed error when the transaction is read-only', async () => {
    const handle = await call((manager) => manager.query('SET TRANSACTION READ ONLY'));
    expect((await failure(handle))!.cause).toMatchObject({ code: 'READ_ONLY_TRANSACTION' });
  });

  it('fails once, without a commit, when the result cannot be stored', async () => {
    const handle = await call(
      async (manager) => {
        await note(manager, `unstorable ${currentStep().attempt}`);
        return () => undefined;
      },
      { attempts: 3 },
    );
    expect((await failure(handle))!.cause).toMatchObject({ code: 'SERIALIZATION' });
    expect(await notes('unstorable')).toEqual([]);
  });

  it('stores the chunks of an attempt even when the attempt is rolled back', async () => {
    const handle = await call(
      async (manager) => {
        const { attempt } = currentStep();
        await note(manager, `chunks ${attempt}`);
        await currentStep().stream<number>('log').write(attempt);
        if (attempt === 1) throw new Error('once');
      },
      { attempts: 2 },
    );
    await handle.result({ timeout: seconds(30) });
    const chunks = await database.query<{ data: unknown }>(
      `SELECT data FROM durable.workflow_stream_chunks WHERE run_id = $1 AND kind = 'data' ORDER BY seq`,
      [handle.runId],
    );
    expect(chunks.map(({ data }) => data)).toEqual([1, 2]);
    expect(await notes('chunks')).toEqual(['chunks 2']);
  });
});
