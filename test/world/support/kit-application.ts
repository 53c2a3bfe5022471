import { join } from 'node:path';

import { freePort } from '../../support/free-port.js';
import { spawnFile, type SpawnedProcess } from '../../support/processes.js';
import { waitFor } from '../../support/wait.js';
import { kitFolder } from './kits.js';
import type { Line } from './test-world.js';

/** State of a run, as the application shows it. */
export interface ShownRun {
  readonly status: string;
  readonly output?: unknown;
}

/** An application of a line of the kit, in a process of its own. */
export class KitApplication {
  private constructor(
    readonly process: SpawnedProcess,
    readonly url: string,
  ) {}

  static async start(line: Line, databaseUrl: string, env: Record<string, string> = {}, file = 'server.mjs'): Promise<KitApplication> {
    const port = await freePort();
    const spawned = spawnFile(join(kitFolder(line), file), {
      cwd: kitFolder(line),
      env: {
        DATABASE_URL: databaseUrl,
        PORT: String(port),
        WORKFLOW_TARGET_WORLD: join(process.env.DURABLE_TEST_COMPILED_DIR!, 'src/world/index.js'),
        ...env,
      },
    });
    await spawned.waitForLine(/listening/);
    return new KitApplication(spawned, `http://localhost:${env['PORT'] ?? port}`);
  }

  /** Returns the application as it is seen below a path. */
  below(path: string): KitApplication {
    return new KitApplication(this.process, `${this.url}${path}`);
  }

  async run(workflow: string, ...args: unknown[]): Promise<string> {
    const { runId } = (await this.call('/start', { workflow, args })) as { runId: string };
    return runId;
  }

  async show(runId: string): Promise<ShownRun> {
    return (await (await fetch(`${this.url}/runs/${runId}`)).json()) as ShownRun;
  }

  /** Number of statements of the World that this process has executed for runs. */
  async statements(): Promise<number> {
    return ((await (await fetch(`${this.url}/statements`)).json()) as { count: number }).count;
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
    const response = await fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }
}
