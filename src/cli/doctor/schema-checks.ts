import { counted } from '../../core/log-text.js';
import { durableMigrations } from '../../store/schema.js';
import { readAppliedMigrations } from '../../store/sql/applied-migrations.js';
import { expectedRelations, readIndexes, readRights, readTables } from '../../store/sql/inspect-schema.js';
import type { Connection } from '../connection.js';
import { error, ok, warn, type Check, type Finding } from './finding.js';

const MIGRATE = 'Execute npx nestjs-durable migrate as a role that may change the schema.';

/** Checks of the schema, its tables and indexes, and the rights on them. */
export const schemaChecks: readonly Check[] = [
  { subject: 'the schema', needsSchema: false, run: checkSchema },
  { subject: 'rights', needsSchema: true, run: checkRights },
  { subject: 'migrations', needsSchema: true, run: checkMigrations },
  { subject: 'indexes', needsSchema: true, run: checkIndexes },
];

async function checkSchema({ database }: Connection, schema: string): Promise<Finding[]> {
  const present = await readTables(database);
  if (present === undefined || present.every((table) => !table.startsWith('workflow_'))) {
    return [error('SCHEMA_MISSING', `Schema "${schema}" has no tables of the module.`, `Name another schema with --schema. ${MIGRATE}`)];
  }
  const missing = expectedRelations().tables.filter((table) => !present.includes(table));
  if (missing.length === 0) return [ok('TABLES_THERE', `Schema "${schema}" has all tables.`)];
  return [
    error(
      'TABLE_MISSING',
      `Schema "${schema}" lacks ${missing.join(', ')}.`,
      `${MIGRATE} If no migration is missing, restore the tables from a backup.`,
    ),
  ];
}

async function checkMigrations({ database }: Connection): Promise<Finding[]> {
  const applied = (await readAppliedMigrations(database)) ?? [];
  const known = durableMigrations.map(({ migrationName }) => migrationName);
  const missing = known.filter((name) => !applied.includes(name));
  const unknown = applied.filter((name) => !known.includes(name));
  const findings: Finding[] = [];
  if (missing.length > 0) findings.push(error('MIGRATIONS_MISSING', `The schema lacks ${missing.join(', ')}.`, MIGRATE));
  if (unknown.length > 0) {
    const text = `A later version of the package has applied ${unknown.join(', ')}.`;
    findings.push(warn('SCHEMA_NEWER', text, 'Use the command of the version that the application uses.'));
  }
  return findings.length > 0 ? findings : [ok('SCHEMA_CURRENT', `The schema is up to date: ${counted(known.length, 'migration')}.`)];
}

async function checkIndexes({ database }: Connection): Promise<Finding[]> {
  const present = new Map((await readIndexes(database)).map(({ name, isValid }) => [name, isValid]));
  const { indexes } = expectedRelations();
  const missing = indexes.filter((name) => !present.has(name));
  const invalid = [...present].filter(([, isValid]) => !isValid).map(([name]) => name);
  const findings: Finding[] = [];
  if (missing.length > 0) {
    findings.push(
      error(
        'INDEX_MISSING',
        `Missing: ${missing.join(', ')}. Claims and sweeps read whole tables.`,
        'Create it as in the output of migrate --sql without a database, with CONCURRENTLY.',
      ),
    );
  }
  if (invalid.length > 0) {
    findings.push(
      error(
        'INDEX_INVALID',
        `Invalid: ${invalid.join(', ')}. An interrupted CREATE INDEX or REINDEX has left it.`,
        'REINDEX INDEX CONCURRENTLY, or drop it if it is not one of the module.',
      ),
    );
  }
  return findings.length > 0 ? findings : [ok('INDEXES_VALID', `All ${indexes.length} indexes are there and valid.`)];
}

async function checkRights({ database }: Connection, schema: string): Promise<Finding[]> {
  const { role, mayUseSchema, missing } = await readRights(database, expectedRelations().tables);
  const seeDocs = 'See "Roles and rights" in docs/operations.md.';
  if (!mayUseSchema) {
    return [error('NO_SCHEMA_RIGHT', `The role "${role}" may not use schema "${schema}".`, `GRANT USAGE ON SCHEMA. ${seeDocs}`)];
  }
  // Administrators may hide the tokens of hooks from readers: see docs/operations.md.
  const unreadable = missing
    .filter(({ table, rights }) => rights.includes('SELECT') && table !== 'workflow_hooks')
    .map(({ table }) => table);
  // A migrator keeps this table to itself: the application only reads it.
  const unwritable = missing.filter(({ table }) => table !== 'workflow_migrations' && !unreadable.includes(table));
  const findings: Finding[] = [];
  if (unreadable.length > 0) {
    findings.push(error('READ_RIGHT_MISSING', `The role "${role}" may not read ${unreadable.join(', ')}.`, `GRANT SELECT. ${seeDocs}`));
  }
  if (unwritable.length > 0) {
    const lacks = unwritable.map(({ table, rights }) => `${rights.join(', ')} on ${table}`).join('; ');
    findings.push(
      warn(
        'WRITE_RIGHT_MISSING',
        `The role "${role}" lacks ${lacks}: it can read runs, and cannot start or execute any.`,
        `GRANT, if this is the role of the application. ${seeDocs}`,
      ),
    );
  }
  return findings.length > 0 ? findings : [ok('RIGHTS_SUFFICE', `The role "${role}" has the rights of an application.`)];
}
