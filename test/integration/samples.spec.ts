import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { killSpawned, spawnCompiled } from '../support/processes.js';

describe('the samples end by themselves and show', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await killSpawned();
    await database.drop();
  });

  /** What a sample prints; it must end with exit code 0. */
  async function play(main: string): Promise<string> {
    const sample = spawnCompiled(main, { env: { DATABASE_URL: database.url } });
    const { code } = await sample.exited;
    expect({ code, errors: sample.stderrLines }).toEqual({ code: 0, errors: [] });
    return sample.stdoutLines.join('\n');
  }

  it('an approval that came after a reminder', async () => {
    const printed = await play('sample/02-approval/main.ts');
    expect(printed).toMatch(
      /mail to boss: may ann spend 120 euros\?[^]*mail to boss: reminder 1[^]*result: boss approved the 120 euros of ann/,
    );
    expect(printed).not.toContain('reminder 3');
  });

  it('200 children of one run', async () => {
    const printed = await play('sample/03-fan-out/main.ts');
    expect(printed).toContain('result: 200 pictures, 219900 bytes');
    expect(printed.match(/of 200/g)!.length).toBeGreaterThan(1);
    const runs = await database.query<{ status: string; count: number }>(
      `SELECT status, count(*)::int FROM durable_fan_out.workflow_runs WHERE parent_run_id IS NOT NULL GROUP BY 1`,
    );
    expect(runs).toEqual([{ status: 'completed', count: 200 }]);
  });
});
