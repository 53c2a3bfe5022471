import { Logger } from '@nestjs/common';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';

import { DatabaseUnavailableError, Workflow, WorkflowClient, WorkflowModule } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { FaultProxy } from '../../support/faults/proxy.js';
import { withoutStalls } from '../../support/log-lines.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'greet' })
class Greet {
  async run(): Promise<string> {
    return 'hello';
  }
}

let database: TestDatabase;
let proxy: FaultProxy;
beforeAll(async () => {
  database = await createTestDatabase();
  proxy = await FaultProxy.start(database.url);
});
afterAll(async () => {
  jest.restoreAllMocks();
  await closeApplications();
  await proxy.stop();
  await database.drop();
});

it('a worker logs one warning when the database goes away, whatever fails meanwhile', async () => {
  const module = await bootApplication({
    imports: [WorkflowModule.forRoot({ worker: {}, connection: { url: proxy.url } })],
    providers: [Greet],
  });
  const client = module.get(WorkflowClient);
  expect(await client.execute(Greet)).toBe('hello');
  const lines: string[] = [];
  jest.spyOn(Logger.prototype, 'warn').mockImplementation((message: unknown) => void lines.push(String(message)));
  proxy.refuse();
  const start = client.start(Greet, undefined, { id: 'meanwhile' });
  await waitFor(() => lines.some((line) => line.includes('database: unreachable')));
  for (let n = 0; n < 10; n++) await expect(client.status('meanwhile')).rejects.toBeInstanceOf(DatabaseUnavailableError);
  await waitFor(() => lines.some((line) => line.startsWith('listen: could not open the direct connection')));
  proxy.restore();
  expect(await (await start).result()).toBe('hello');
  // The connections that were cut report their own loss.
  const others = withoutStalls(lines).filter((line) => !/^listen: could not open|^session: could not renew the session/.test(line));
  expect(others).toEqual([expect.stringContaining('database: unreachable; trying again: ')]);
});
