import { counted } from '../../core/log-text.js';
import { worldMigrations } from '../../store/schema.js';
import { readAppliedMigrations } from '../../store/sql/applied-migrations.js';
import { readWorldBacklog } from '../../store/sql/world-messages.js';
import type { Connection } from '../connection.js';
import { error, ok, warn, type Check, type Finding } from './finding.js';

/** Checks of a World for the Workflow DevKit. */
export const worldChecks: readonly Check[] = [{ subject: 'the World', needsSchema: false, run: checkWorld }];

/** Returns no finding where no World is. */
async function checkWorld({ database }: Connection): Promise<Finding[]> {
  const schema = process.env.DURABLE_WORLD_SCHEMA || 'durable_world';
  const world = database.withSchema(schema);
  const applied = await readAppliedMigrations(world);
  if (applied === undefined) return [];
  const missing = worldMigrations.map(({ migrationName }) => migrationName).filter((name) => !applied.includes(name));
  if (missing.length > 0) {
    const text = `Schema "${schema}" of the World lacks ${missing.join(', ')}.`;
    return [
      error('WORLD_MIGRATIONS_MISSING', text, 'Start one process of the World with autoMigrate, as a role that may change the schema.'),
    ];
  }
  const findings = (await readWorldBacklog(world)).flatMap(({ deploymentId, overdue, failing }): Finding[] => [
    ...(overdue === 0
      ? []
      : [
          error(
            'WORLD_MESSAGES_OVERDUE',
            `${counted(overdue, 'message')} of the World for deployment "${deploymentId}" have been due for a minute.`,
            'Start a process of this deployment, and check that the World finds the routes of the kit.',
          ),
        ]),
    ...(failing === 0
      ? []
      : [
          warn(
            'WORLD_MESSAGES_FAILING',
            `Five deliveries or more have failed for ${counted(failing, 'message')} of deployment "${deploymentId}".`,
            'Read the warnings of the processes of this deployment.',
          ),
        ]),
  ]);
  return findings.length > 0 ? findings : [ok('WORLD_FINE', 'Every message of the World is delivered in time.')];
}
