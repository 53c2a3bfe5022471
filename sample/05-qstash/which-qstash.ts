import { createServer, type AddressInfo } from 'node:net';

import type { WorkflowModuleOptions } from 'nestjs-durable';
import { QStashEmulator } from 'nestjs-durable/testing';

/** The QStash that drives the sample. */
export interface ChosenQStash {
  readonly description: string;
  /** Port on which the application must listen. */
  readonly port: number;
  readonly options: NonNullable<WorkflowModuleOptions['qstash']>;
  /** Messages that QStash has accepted so far; undefined when the service is used. */
  messages(): number | undefined;
  close(): Promise<void>;
}

const NEEDED = ['QSTASH_TOKEN', 'QSTASH_TARGET_URL', 'QSTASH_CURRENT_SIGNING_KEY', 'QSTASH_NEXT_SIGNING_KEY'] as const;

/**
 * Turns off the schedule of the sweep. The schedule would stay in the account and call an
 * application that has ended. The sample watches its runs itself; your application leaves this
 * option out.
 */
const NO_SCHEDULE = { sweep: false } as const;

/** Chooses the service when the environment has its settings, else the emulator. */
export async function chooseQStash(): Promise<ChosenQStash> {
  const missing = NEEDED.filter((name) => !process.env[name]);
  return missing.length === 0 ? useService() : useEmulator(missing);
}

/** Uses the service; the module reads the variables itself. */
function useService(): ChosenQStash {
  const port = Number(process.env['PORT'] ?? 3_000);
  return {
    description: `QStash, which must reach port ${port} of this machine as ${process.env['QSTASH_TARGET_URL']}`,
    port,
    options: NO_SCHEDULE,
    messages: () => undefined,
    close: async () => undefined,
  };
}

async function useEmulator(missing: readonly string[]): Promise<ChosenQStash> {
  const qstash = await QStashEmulator.start();
  const port = await freePort();
  const { url, token, currentSigningKey, nextSigningKey } = qstash;
  return {
    description: `the emulator; not set: ${missing.join(', ')}`,
    port,
    options: { ...NO_SCHEDULE, url, token, currentSigningKey, nextSigningKey, targetUrl: `http://127.0.0.1:${port}` },
    messages: () => qstash.stats().published,
    close: () => qstash.close(),
  };
}

/** Finds a free port, because QStash needs the address before the application listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
