import type { INestApplication } from '@nestjs/common';
import {
  RunNotFoundError,
  startEmbeddedPostgres,
  StepFailedError,
  WorkflowClient,
  WorkflowError,
  WorkflowFailedError,
  type EmbeddedPostgres,
} from 'nestjs-durable';
import { DataSource } from 'typeorm';

import { createApplication } from './create-application.js';
import { Order } from './order.entity.js';
import { OrderWorkflow } from './order.workflow.js';
import { PaymentService } from './payment.service.js';

let server: EmbeddedPostgres;
let app: INestApplication;
let url: string;

beforeAll(async () => {
  server = await startEmbeddedPostgres({ fast: true });
  process.env['DATABASE_URL'] = server.url;
  app = await createApplication();
  await app.listen(0, '127.0.0.1');
  url = (await app.getUrl()).replace('[::1]', 'localhost');
}, 60_000);

afterAll(async () => {
  await app?.close();
  await server?.stop();
}, 60_000);

const place = (order: object): Promise<Response> =>
  fetch(`${url}/orders`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(order) });

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('a shop with the installed package', () => {
  it('completes a run that was started inside a transaction, and tells of each recorded step', async () => {
    expect(await (await place({ id: 7, cents: 4200 })).json()).toEqual({ run: 'order-7' });
    expect(await (await fetch(`${url}/orders/7`)).json()).toEqual({ payment: 'PAY-7', tracking: 'TRACK-7' });

    const steps = await app.get(WorkflowClient).steps('order-7');
    expect(steps.map(({ stepKey, attempts }) => [stepKey, attempts])).toEqual([
      ['PaymentService.charge', 2],
      ['sleep', 1],
      ['ship', 1],
    ]);
    const { keys } = app.get(PaymentService);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
  }, 60_000);

  it('sends the stream of a run to a browser, and 204 after the end', async () => {
    await place({ id: 11, cents: 1100 });
    const read = (run: string, headers: Record<string, string> = {}): Promise<Response> =>
      fetch(`${url}/workflow/runs/${run}/streams/progress`, { headers: { accept: 'text/event-stream', ...headers } });
    const response = await read('order-11');
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    const end = 'event: end\nid: 1-end\ndata: {"state":"completed"}';
    expect(await response.text()).toBe(`retry: 1000\n\nid: 0\ndata: "charged"\n\n${end}\n\n`);
    expect((await read('order-11', { 'last-event-id': '1-end' })).status).toBe(204);

    // This response stays open, and the application closes all the same.
    await app.get(WorkflowClient).start(OrderWorkflow, { id: 12, cents: 1200 }, { id: 'order-12', delay: '1 hour' });
    expect((await read('order-12')).status).toBe(200);
  }, 60_000);

  it('starts nothing when the transaction is rolled back', async () => {
    expect((await place({ id: 8, cents: 1_000_000 })).status).toBe(500);
    expect(await failureOf(app.get(WorkflowClient).status('order-8'))).toBeInstanceOf(RunNotFoundError);
    expect(await app.get(DataSource).getRepository(Order).countBy({ id: 8 })).toBe(0);
  }, 60_000);

  it('rejects with typed errors when a step fails for good', async () => {
    const error = await failureOf(app.get(WorkflowClient).execute(OrderWorkflow, { id: 9, cents: -1 }));
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect(error).toBeInstanceOf(WorkflowError);
    expect((error as WorkflowFailedError).cause).toBeInstanceOf(StepFailedError);
  }, 60_000);
});
