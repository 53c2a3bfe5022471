import { join } from 'node:path';

import { freePort } from '../../support/free-port.js';
import { spawnFile, type SpawnedProcess } from '../../support/processes.js';
import { waitFor } from '../../support/wait.js';
import { kitFolder } from './kits.js';

/** State of a run, as the application shows it. */
export interface ShownRun {
  readonly status: string;
  readonly output?: unknown;
}

/** An application of the kit's stable line, in a process of its own. */
export class StableApplication {
  private constructor(
    readonly process: SpawnedProcess,
    readonly url: string,
  ) {}

  static async start(databaseUrl: string, env: Record<string, string> = {}): Promise<StableApplication> {
    const port = await freePort();
    const spawned = spawnFile(join(kitFolder('stable'), 'server.mjs'), {
      cwd: kitFolder('stable'),
      env: {
        DATABASE_URL: databaseUrl,
        PORT: String(port),
        WORKFLOW_TARGET_WORLD: join(process.env.DURABLE_TEST_COMPILED_DIR!, 'src/world/index.js'),
        ...env,
      },
    });
    await spawned.waitForLine(/listening/);
    return new StableApplication(spawned, `http://localhost:${port}`);
  }

  async run(workflow: string, ...args: unknown[]): Promise<string> {
    const { runId } = (await this.call('/start', { workflow, args })) as { runId: string };
    return runId;
  }

  async show(runId: string): Promise<ShownRun> {
    return (await (await fetch(`${this.url}/runs/${runId}`)).json()) as ShownRun;
  }

  /** Waits until a run has ended. */
  ended(runId: string): Promise<ShownRun> {
    return waitFor(
      async () => {
        const run = await this.show(runId);
        return ['completed', 'failed', 'cancelled'].includes(run.status) ? run : undefined;
      },
      { timeoutMs: 60_000, message: `the end of run ${runId}` },
    );
  }

  async call(path: string, body: unknown = {}): Promise<unknown> {
    const response = await fetch(`${this.url}${path}`, { method: 'POST', body: JSON.stringify(body) });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }
}
