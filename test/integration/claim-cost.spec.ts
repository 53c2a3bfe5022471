import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { Database } from '../../src/store/database.js';
import { claimRuns, claimRunsFrom, claimSuspects, type Claim } from '../../src/store/sql/claim-runs.js';
import { ExplainingDatabase } from '../support/explaining-database.js';
import { changeOf, JournalFixture, startOf, type OpenJournal } from '../support/faults/journal-fixture.js';

const KEYS = [
  { queue: 'default', name: 'order', version: 1 },
  { queue: 'default', name: 'invoice', version: 1 },
];
const PLACES = KEYS.map((key) => ({ ...key, priority: 0, readyAt: '-infinity' }));
/** Limit above the number of due runs, so that a claim searches until it finds no more. */
const LIMIT = 40;
const DUE = 20;

const CLAIMS = {
  'a claim': claimRuns,
  'a claim that continues': (database: Database, claim: Claim) => claimRunsFrom(database, claim, PLACES),
  'a claim of runs that were lost': claimSuspects,
};
type ClaimName = keyof typeof CLAIMS;

describe('claims beside 20,000 sleeping, 20,000 delayed and 20,000 ended runs and 5,000 of an unknown version', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  let database: ExplainingDatabase;
  const alone = new Map<string, number>();
  const names = Object.keys(CLAIMS) as ClaimName[];
  const modes = ['force_generic_plan', 'force_custom_plan'] as const;

  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
    database = new ExplainingDatabase({ connectionString: fixture.admin.url }, { poolSize: 1 });
    // An autovacuum during the test must not change the result.
    for (const table of ['runs', 'sessions'])
      await fixture.admin.query(`ALTER TABLE durable.workflow_${table} SET (autovacuum_enabled = false)`);
    for (const name of names) for (const mode of modes) alone.set(`${name} ${mode}`, await buffersOf(name, mode));
    await crowd();
  });
  afterAll(async () => {
    await database.close();
    await fixture.close();
  });

  let round = 0;
  /**
   * Number of buffers that a claim of 20 due runs touches, alone in the table or after all others.
   */
  async function buffersOf(name: ClaimName, mode: ExplainingDatabase['planMode']): Promise<number> {
    round++;
    const ids = Array.from({ length: DUE }, (_, index) => `due-${round}-${index}`);
    await Promise.all(ids.map((id, index) => open.submit(startOf(id, false, KEYS[index % 2]))));
    if (name === 'a claim of runs that were lost')
      await fixture.admin.query(`UPDATE durable.workflow_runs SET worker_losses = 2 WHERE status = 'pending' AND id = ANY ($1)`, [ids]);
    database.planMode = mode;
    await CLAIMS[name](database, { fence: open.fence, keys: KEYS, deploymentId: 'test', limit: LIMIT });
    const [{ claimed }] = await fixture.admin.query(
      `SELECT count(*)::int AS claimed FROM durable.workflow_runs WHERE id = ANY ($1) AND status = 'running'`,
      [ids],
    );
    expect(claimed).toBe(name === 'a claim of runs that were lost' ? DUE / 4 : DUE);
    // The remaining runs must not count in the next round.
    await fixture.admin.query('DELETE FROM durable.workflow_runs WHERE id = ANY ($1)', [ids]);
    return database.buffers;
  }

  /** Makes one run of each kind through the journal, and copies it. */
  async function crowd(): Promise<void> {
    const { submit } = open;
    const wakeAt = Date.now() + 86_400_000;
    await submit(startOf('sleeping', true));
    await submit(changeOf('sleeping', { status: 'waiting', wakeAt, wakeCount: 0 }));
    await submit(startOf('delayed', false, { delayMs: 86_400_000 }));
    await submit(startOf('ended', true));
    await submit(changeOf('ended'));
    await submit(startOf('unknown', false, { version: 2 }));
    await fixture.admin.query(`INSERT INTO durable.workflow_runs SELECT copy.* FROM durable.workflow_runs r
      CROSS JOIN LATERAL generate_series(2, CASE WHEN r.id = 'unknown' THEN 5000 ELSE 20000 END) AS n
      CROSS JOIN LATERAL jsonb_populate_record(r, jsonb_build_object('id', r.id || '-' || n)) AS copy
      WHERE r.id IN ('sleeping', 'delayed', 'ended', 'unknown')`);
    const [{ count }] = await fixture.admin.query('SELECT count(*)::int FROM durable.workflow_runs');
    expect(count).toBe(65_000);
  }

  describe.each(['never', 'just now'])('in tables that were %s analysed', (when) => {
    beforeAll(async () => {
      if (when === 'just now') await fixture.admin.query('ANALYZE');
    });

    it.each(names.flatMap((name) => modes.map((mode) => [name, mode] as const)))(
      '%s touches fewer than twice as many buffers as alone (%s)',
      async (name, mode) => {
        const before = alone.get(`${name} ${mode}`)!;
        const now = await buffersOf(name, mode);
        // Indexes of many rows are a level or two deeper.
        expect(now).toBeLessThan(2 * before);
      },
    );
  });
});
