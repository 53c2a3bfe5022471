import { Initial1763600000000 } from './1763600000000-initial.js';
import { Retention1764400000000 } from './1764400000000-retention.js';
import { TraceContext1764400001000 } from './1764400001000-trace-context.js';
import { Listeners1764400002000 } from './1764400002000-listeners.js';
import { Streams1764400003000 } from './1764400003000-streams.js';
import { Compensations1764400004000 } from './1764400004000-compensations.js';
import { StreamRows1764400005000 } from './1764400005000-stream-rows.js';
import { TokensInHistory1764400006000 } from './1764400006000-tokens-in-history.js';
import { ListingsAndEvents1764400006500 } from './1764400006500-listings-and-events.js';
import { Queues1764400007000 } from './1764400007000-queues.js';
import { Admission1764400007001 } from './1764400007001-admission.js';
import { SharedStarts1764400007500 } from './1764400007500-shared-starts.js';
import { Batches1764400007501 } from './1764400007501-batches.js';
import { Events1764400008000 } from './1764400008000-events.js';
import { Schedules1764400009000 } from './1764400009000-schedules.js';
import { ExactSlots1764400010000 } from './1764400010000-exact-slots.js';
import { ClaimingAdmission1764400010001 } from './1764400010001-claiming-admission.js';
import { StepPlaces1764400010100 } from './1764400010100-step-places.js';
import { OrphanedMembers1764400010200 } from './1764400010200-orphaned-members.js';
import { Adoption1764400010300 } from './1764400010300-adoption.js';
import { RunsOfSchedules1764400011000 } from './1764400011000-runs-of-schedules.js';
import { KeyedSubscriptions1764400011100 } from './1764400011100-keyed-subscriptions.js';
import { ApartAdmission1764400011200 } from './1764400011200-apart-admission.js';
import { ClosedKeys1764400011300 } from './1764400011300-closed-keys.js';
import { RunsByStatus1764400011400 } from './1764400011400-runs-by-status.js';
import { World1764400100000 } from './1764400100000-world.js';
import { WorldMessages1764400100001 } from './1764400100001-world-messages.js';
import { WorldListings1764400100002 } from './1764400100002-world-listings.js';
import { DEFAULT_SCHEMA, quoteIdentifier, type DurableMigration } from './migration.js';

export { DEFAULT_SCHEMA, MIGRATIONS_TABLE, quoteIdentifier } from './migration.js';
export type { DurableMigration } from './migration.js';

/**
 * All migrations, oldest first: TypeORM migration classes, for applications that run them
 * themselves.
 *
 * They create the tables in the DataSource's `schema`, and record themselves in the schema's table
 * `workflow_migrations`. (default of `schema`: `'durable'`)
 */
export const durableMigrations: readonly DurableMigration[] = [
  Initial1763600000000,
  Retention1764400000000,
  TraceContext1764400001000,
  Listeners1764400002000,
  Streams1764400003000,
  Compensations1764400004000,
  StreamRows1764400005000,
  TokensInHistory1764400006000,
  ListingsAndEvents1764400006500,
  Queues1764400007000,
  Admission1764400007001,
  SharedStarts1764400007500,
  Batches1764400007501,
  Events1764400008000,
  Schedules1764400009000,
  ExactSlots1764400010000,
  ClaimingAdmission1764400010001,
  StepPlaces1764400010100,
  OrphanedMembers1764400010200,
  Adoption1764400010300,
  RunsOfSchedules1764400011000,
  KeyedSubscriptions1764400011100,
  ApartAdmission1764400011200,
  ClosedKeys1764400011300,
  RunsByStatus1764400011400,
];

/**
 * Migrations of the World for the Workflow DevKit, oldest first. They create their tables in a
 * schema of their own.
 */
export const worldMigrations: readonly DurableMigration[] = [World1764400100000, WorldMessages1764400100001, WorldListings1764400100002];

/**
 * Builds the SQL of migrations, in one transaction.
 *
 * @param migrations migrations to include, oldest first (default: all)
 */
export function migrationSql(
  { schema = DEFAULT_SCHEMA }: { schema?: string } = {},
  migrations: readonly DurableMigration[] = durableMigrations,
): string {
  const quoted = quoteIdentifier(schema);
  const parts = migrations.map((each) => `-- ${each.migrationName}\n${each.upSql(quoted)}\n`);
  // The transaction makes the SQL all or nothing, also in a tool that commits after each statement.
  return `BEGIN;\n${parts.join('\n')}COMMIT;\n`;
}
