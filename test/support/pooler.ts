import { afterAll } from '@jest/globals';

import type { WorkflowModuleOptions } from '../../src/index.js';
import { PgBouncer, pgBouncerVersion } from './pgbouncer.js';

/** `off`; `on`: through a PgBouncer; `listen`: the same with a direct connection beside it. */
const mode = process.env['DURABLE_TEST_POOLER'] ?? 'off';
if (!['off', 'on', 'listen'].includes(mode)) throw new Error(`DURABLE_TEST_POOLER must be off, on or listen, not ${mode}`);
if (mode !== 'off' && pgBouncerVersion === undefined) throw new Error('DURABLE_TEST_POOLER is set and there is no pgbouncer');

let bouncer: Promise<PgBouncer> | undefined;
if (mode !== 'off') afterAll(async () => (await bouncer)?.stop());

/** A database of a test as the applications of this Jest run reach it. */
export async function reach(url: string): Promise<string> {
  if (mode === 'off') return url;
  return (await (bouncer ??= PgBouncer.start(url))).urlOf(url);
}

/** The options that go with it; those of the test win. */
export function poolerOptions(url: string, listen?: WorkflowModuleOptions['listen']): Pick<WorkflowModuleOptions, 'pooler' | 'listen'> {
  if (mode === 'off') return listen === undefined ? {} : { listen };
  // A test that says true is about listening.
  if (listen === false || (mode === 'on' && listen !== true)) return { pooler: 'transaction', listen: false };
  return { pooler: 'transaction', listen: { url } };
}
