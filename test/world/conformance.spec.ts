import { describe, expect, it } from '@jest/globals';

import { QStashEmulator } from '../../src/testing/index.js';
import { createTestDatabase } from '../support/database.js';
import { freePort } from '../support/free-port.js';
import { itLong } from '../support/long-form.js';
import type { NodeVersion } from './support/kits.js';
import { runSuite } from './support/suite.js';

describe('a World passes the twelve tests of @workflow/world-testing', () => {
  const run = async (version: NodeVersion, env: Record<string, string>): Promise<void> => {
    const database = await createTestDatabase();
    try {
      const results = await runSuite(version, { DATABASE_URL: database.url, ...env });
      expect(results.filter(({ status }) => status !== 'passed')).toEqual([]);
      expect(results).toHaveLength(12);
    } finally {
      await database.drop();
    }
  };
  const poll = (version: NodeVersion) => (): Promise<void> => run(version, {});
  const push = (version: NodeVersion) => async (): Promise<void> => {
    const [qstash, port] = await Promise.all([QStashEmulator.start(), freePort()]);
    try {
      // The tests run one after another, each with a server of its own on this port.
      await run(version, { ...qstash.env(), PORT: String(port), QSTASH_TARGET_URL: `http://localhost:${port}` });
    } finally {
      await qstash.close();
    }
  };

  it('on Node 22 with the poller', poll('22'));
  it('on Node 24 with QStash', push('24'));
  itLong('on Node 24 with the poller', poll('24'));
  itLong('on Node 22 with QStash', push('22'));
});
