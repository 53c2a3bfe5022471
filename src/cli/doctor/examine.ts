import { WorkflowError } from '../../core/errors/index.js';
import { describeError } from '../../host/connection-checks.js';
import { isAway } from '../../store/database-errors.js';
import { unreachable, type Connection } from '../connection.js';
import { withoutPasswords } from '../errors.js';
import { leftoverChecks } from './leftover-checks.js';
import { queueChecks } from './queue-checks.js';
import { runChecks } from './run-checks.js';
import { scheduleChecks } from './schedule-checks.js';
import { schemaChecks } from './schema-checks.js';
import { serverChecks } from './server-checks.js';
import { settingChecks } from './setting-checks.js';
import { storageChecks } from './storage-checks.js';
import { worldChecks } from './world-checks.js';
import { warn, type Check, type Finding } from './finding.js';

const CHECKS: readonly Check[] = [
  ...serverChecks,
  ...settingChecks,
  ...schemaChecks,
  ...storageChecks,
  ...runChecks,
  ...queueChecks,
  ...scheduleChecks,
  ...leftoverChecks,
  ...worldChecks,
];

/** Codes of findings without which the tables of the module cannot be read. */
const NO_SCHEMA = new Set(['SCHEMA_MISSING', 'MIGRATIONS_MISSING', 'TABLE_MISSING', 'NO_SCHEMA_RIGHT', 'READ_RIGHT_MISSING']);

/** Receives the progress and the findings of an examination. */
export interface Examination {
  begin(subject: string): void;
  found(finding: Finding): Promise<void>;
}

/**
 * Executes all checks, one after the other. A check that fails is a finding of its own, so that one
 * missing right does not hide the rest.
 *
 * @throws CommandError when the database goes away meanwhile
 */
export async function examine(connection: Connection, schema: string, examination: Examination): Promise<void> {
  let hasSchema = true;
  for (const { subject, needsSchema, run } of CHECKS) {
    if (needsSchema && !hasSchema) continue;
    examination.begin(subject);
    const findings = await run(connection, schema).catch((thrown: unknown) => [failedCheck(subject, thrown)]);
    for (const finding of findings) {
      if (NO_SCHEMA.has(finding.code)) hasSchema = false;
      await examination.found(finding);
    }
  }
}

function failedCheck(subject: string, thrown: unknown): Finding {
  const cause = thrown instanceof WorkflowError && thrown.cause !== undefined ? thrown.cause : thrown;
  if (isAway(cause)) throw unreachable(cause);
  const reason = withoutPasswords(describeError(thrown));
  return warn(
    'CHECK_FAILED',
    `The check of ${subject} failed: ${reason}.`,
    'Give the role the right that the message names, or repeat the command.',
  );
}
