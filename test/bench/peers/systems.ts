import type { PeerArguments } from './arguments.js';

/** One way of setting a system up. Its settings are printed with the figures. */
export interface Variant {
  readonly name: string;
  /** Options of the system, in the shape that its adapter takes. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** A system to measure. `adapters/NAME.mjs` drives it. */
export interface PeerSystem {
  readonly name: string;
  /** npm packages and their versions. The packed package itself is added for ours. */
  readonly packages: Readonly<Record<string, string>>;
  readonly isOurs?: true;
  readonly hasDurableSteps: boolean;
  /** A sentence on what the system does not do, or does otherwise than the others. */
  readonly lacks: string;
  /** Slots are 50 in each, or the nearest setting there is. */
  readonly variants: readonly Variant[];
  /** The reason for which the system cannot be measured here. */
  missing?(options: PeerArguments): string | undefined;
}

/** Runs that a process may execute at a time. */
export const SLOTS = 50;

const PG = '8.23.1';
/** A connection for each slot. */
const POOL = SLOTS;

export const SYSTEMS: readonly PeerSystem[] = [
  {
    name: 'nestjs-durable',
    isOurs: true,
    packages: {
      '@nestjs/common': '12.5.1',
      '@nestjs/core': '12.5.1',
      '@nestjs/platform-express': '12.5.1',
      '@nestjs/typeorm': '12.0.2',
      pg: PG,
      'reflect-metadata': '0.2.2',
      rxjs: '7.8.2',
      typeorm: '1.1.1',
    },
    hasDurableSteps: true,
    lacks: 'Is for NestJS on Node only.',
    variants: [
      { name: 'defaults', settings: {} },
      { name: 'poller', settings: { worker: { eagerStart: false } } },
    ],
  },
  {
    name: 'dbos',
    packages: { '@dbos-inc/dbos-sdk': '5.3.0', pg: PG },
    hasDurableSteps: true,
    lacks:
      'Has slots only for queues: a workflow that is started directly begins at once, so all runs execute together. ' +
      'Without its Conductor, only a process with the same executor id recovers the runs of a dead process.',
    variants: [
      { name: 'direct, defaults', settings: {} },
      { name: 'direct, larger pool', settings: { config: { systemDatabasePoolSize: POOL } } },
      { name: 'queue, defaults', settings: { queue: {} } },
      {
        name: 'queue, polling often',
        settings: {
          config: { systemDatabasePoolSize: POOL },
          queue: { minPollingIntervalMs: 20 },
          result: { pollingIntervalMs: 20 },
        },
      },
    ],
  },
  {
    name: 'restate',
    packages: {
      '@restatedev/restate-server': '1.7.12',
      '@restatedev/restate-sdk': '1.17.2',
      '@restatedev/restate-sdk-clients': '1.17.2',
      pg: PG,
    },
    hasDurableSteps: true,
    lacks:
      'Keeps runs in the store of its own server, not in PostgreSQL: no transaction covers them and rows of the application. ' +
      'By default it executes 1,000 invocations at a time.',
    variants: [
      { name: 'defaults', settings: {} },
      { name: 'fewer partitions', settings: { RESTATE_DEFAULT_NUM_PARTITIONS: '4' } },
      { name: '50 invocations', settings: { RESTATE_WORKER__INVOKER__CONCURRENT_INVOCATIONS_LIMIT: String(SLOTS) } },
    ],
  },
  {
    name: 'absurd',
    packages: { 'absurd-sdk': '0.5.0', pg: PG },
    hasDurableSteps: true,
    lacks: 'Is not notified of new tasks: its worker polls. Its npm package does not contain the schema.',
    variants: [
      { name: 'defaults', settings: {} },
      { name: 'polling often, larger pool', settings: { worker: { pollInterval: 0.02 }, pool: { max: POOL } } },
    ],
    missing: ({ absurdSchema }) =>
      absurdSchema === undefined
        ? 'its schema is not on npm; `--absurd-schema FILE` gives the file sql/absurd.sql of its repository'
        : undefined,
  },
  {
    name: 'openworkflow',
    packages: { openworkflow: '0.10.1', postgres: '3.4.9', pg: PG },
    hasDurableSteps: true,
    lacks: 'Is not notified of new runs: it polls each 0.1 to 1 s for runs and each second for a result, which cannot be set.',
    variants: [
      { name: 'defaults', settings: {} },
      { name: 'larger pool', settings: { pool: { max: POOL } } },
    ],
  },
  {
    name: 'pg-boss',
    packages: { 'pg-boss': '12.35.0', pg: PG },
    hasDurableSteps: false,
    lacks: 'Is a queue: the three steps are three calls in one job, which is retried as a whole. A sender cannot wait for the result.',
    variants: [
      { name: 'defaults', settings: {} },
      {
        name: 'batches, notified',
        settings: {
          instance: { max: POOL, useListenNotify: true },
          queue: { notify: true },
          work: { batchSize: SLOTS, burstWhenBatchFull: true },
        },
      },
    ],
  },
  {
    name: 'bullmq',
    packages: { bullmq: '6.7.0', ioredis: '5.11.1' },
    hasDurableSteps: false,
    lacks:
      'Is a queue in Redis: the three steps are three calls in one job, which is retried as a whole. ' +
      'With the documented `appendfsync everysec`, a power cut loses up to a second of jobs.',
    variants: [
      { name: 'appendfsync everysec', settings: { appendfsync: 'everysec' } },
      { name: 'appendfsync always', settings: { appendfsync: 'always' } },
    ],
    missing: ({ hasProgram }) => (hasProgram('redis-server') ? undefined : 'there is no redis-server on the PATH'),
  },
];
