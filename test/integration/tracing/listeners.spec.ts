import { Inject, Injectable } from '@nestjs/common';
import { trace } from '@opentelemetry/api';
import { afterEach, describe, expect, it } from '@jest/globals';

import { OnRunEvent, Workflow, WorkflowClient, type RunEventOf } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase } from '../../support/database.js';
import { TestTracing } from '../../support/tracing.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'order' })
class Order {
  async run(): Promise<void> {}
}

@Workflow({ name: 'receipt' })
class Receipt {
  async run(): Promise<void> {}
}

@Injectable()
class Receipts {
  constructor(@Inject(WorkflowClient) private readonly client: WorkflowClient) {}

  @OnRunEvent('run.completed')
  async onCompleted({ workflow }: RunEventOf<'run.completed'>): Promise<void> {
    if (workflow !== 'order') return;
    await this.client.start(Receipt, undefined, { id: 'outside' });
    await trace.getTracer('test').startActiveSpan('send receipt', async (span) => {
      await this.client.start(Receipt, undefined, { id: 'inside' });
      span.end();
    });
  }
}

describe('a listener', () => {
  afterEach(async () => {
    await closeApplications();
    TestTracing.unregister();
  });

  it('may record spans and start runs, in traces of their own', async () => {
    const database = await createTestDatabase();
    try {
      const tracing = TestTracing.register();
      const { client } = await startApplication(database.url, [Order, Receipt, Receipts]);
      await tracing.request(() => client.execute(Order));
      await waitFor(() => tracing.named('process receipt').length === 2);
      const [own] = tracing.named('send receipt');
      const [first, second] = tracing.named('start receipt');
      expect(own?.parentSpanContext).toBeUndefined();
      expect(first?.parentSpanContext).toBeUndefined();
      expect(second?.parentSpanContext?.spanId).toBe(own!.spanContext().spanId);
      const [request] = tracing.named('request');
      const traces = [request, first, second].map((span) => span!.spanContext().traceId);
      expect(new Set(traces).size).toBe(3);
      const rows = await database.query<{ trace_context: string }>(
        "SELECT trace_context FROM durable.workflow_runs WHERE name = 'receipt' ORDER BY id DESC",
      );
      expect(rows.map((row) => row.trace_context.split('-')[1])).toEqual(traces.slice(1));
    } finally {
      await closeApplications();
      await database.drop();
    }
  });
});
