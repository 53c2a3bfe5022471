/** The door to the migrations for the floors above. */
export { DEFAULT_SCHEMA, durableMigrations, migrationSql, type DurableMigration } from '../../migrations/index.js';
