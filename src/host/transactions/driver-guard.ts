import type { CallerConnection } from '../../store/sql/record-in-transaction.js';

type Query = (...args: unknown[]) => unknown;

/**
 * Checks each statement that is sent on a connection of the driver, with or without TypeORM, until
 * the returned function is called. The check throws to refuse a statement.
 *
 * @param check called with the text of each statement
 */
export function guardDriver(connection: CallerConnection, check: (text: string) => void): () => void {
  const client = connection as unknown as { query?: Query };
  const own = Object.hasOwn(client, 'query') ? client.query : undefined;
  const send = client.query!;
  const guarded: Query = (...args) => {
    const [given] = args;
    const text = typeof given === 'string' ? given : (given as { text?: unknown } | undefined | null)?.text;
    if (typeof text === 'string') check(text);
    return send.apply(client, args);
  };
  client.query = guarded;
  return () => {
    // Other code, such as a tracer, may have replaced the method meanwhile. It calls this one.
    if (client.query !== guarded) return;
    if (own) client.query = own;
    else delete client.query;
  };
}
