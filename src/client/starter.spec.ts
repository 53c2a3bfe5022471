import { afterEach, expect, it } from '@jest/globals';

import type { NewRun } from '../core/run.js';
import { useTracer, type Tracer } from '../core/tracing.js';
import type { ClientDependencies } from './dependencies.js';
import { Starter } from './starter.js';
import type { CallerTransactions } from './transactions/caller-transactions.js';

afterEach(() => useTracer(undefined));

it('the span of a start ends with the error that the worker throws while it admits the run', async () => {
  const ends: unknown[] = [];
  const span = { traceContext: null, end: (error: unknown) => ends.push(error) };
  useTracer({ send: () => span } as unknown as Tracer);
  const thrown = new Error('admits nothing');
  const reserve = (): never => {
    throw thrown;
  };
  const dependencies = { journal: { isFull: false }, reserve } as unknown as ClientDependencies;
  const starter = new Starter(dependencies, {} as CallerTransactions, () => {
    throw new Error('there is no handle');
  });
  const run = { id: 'run', name: 'greet', delayMs: null, startAt: null } as NewRun;
  await expect(starter.start(run, {})).rejects.toBe(thrown);
  expect(ends).toEqual([thrown]);
});
