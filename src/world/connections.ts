import { settingsOfUrl } from '../store/connection-settings.js';
import { Database } from '../store/database.js';
import { prepareWorldSchema } from '../store/world-schema.js';
import type { WorldSettings } from './options.js';

/**
 * The World's own pool. Creating it opens nothing: the kit creates Worlds of which it uses only
 * `createQueueHandler`.
 */
export class WorldConnections {
  readonly database: Database;
  private prepared: Promise<unknown> | undefined;

  constructor(
    private readonly settings: WorldSettings,
    private readonly shared: Database | undefined,
  ) {
    const { databaseUrl, schema, poolSize, pooler } = settings;
    this.database = shared?.withSchema(schema) ?? new Database(settingsOfUrl(databaseUrl), { schema, poolSize, pooler });
  }

  /**
   * Migrates or checks the schema, before the first statement. A failed try is repeated by the next
   * call.
   */
  async ready(): Promise<void> {
    this.prepared ??= prepareWorldSchema(this.database, this.settings.autoMigrate).catch((error: unknown) => {
      this.prepared = undefined;
      throw error;
    });
    await this.prepared;
  }

  /** Closes the World's own pool; a shared one stays open. */
  async close(): Promise<void> {
    if (!this.shared) await this.database.close();
  }
}
