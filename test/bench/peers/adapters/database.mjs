import pg from 'pg';

/** A connection of the harness itself. Returns a function that counts with one statement. */
export async function counter(url, text) {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return async () => Number((await client.query(text)).rows[0].count);
}

/** Executes SQL text once. */
export async function execute(url, text) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
