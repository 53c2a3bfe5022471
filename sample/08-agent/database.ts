import { startEmbeddedPostgres } from 'nestjs-durable';
import pg from 'pg';

export const SCHEMA = 'durable_agent';

/** A database for the sample, and a function that restores its former state. */
export interface SampleDatabase {
  url: string;
  remove(): Promise<void>;
}

/** Opens the server of `DATABASE_URL`, or a real server that comes from npm. */
export async function openDatabase(): Promise<SampleDatabase> {
  const given = process.env['DATABASE_URL'];
  const embedded = given ? undefined : await startEmbeddedPostgres();
  const url = given || embedded!.url;
  await dropSchema(url);
  return {
    url,
    remove: async () => {
      await dropSchema(url);
      await embedded?.stop();
    },
  };
}

async function dropSchema(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`);
  } finally {
    await client.end();
  }
}
