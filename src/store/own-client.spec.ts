import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { Database } from './database.js';

/** Builds one message of PostgreSQL's protocol. */
function message(type: string, body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
}

/** Server that accepts each connection and ends it in the same packet. */
function farewellServer(): Server {
  const accepted = message('R', Buffer.alloc(4));
  const ready = message('Z', Buffer.from('I'));
  const farewell = message('E', Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0'));
  return createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(Buffer.concat([accepted, ready, farewell])));
  });
}

describe('a connection that the server ends at the moment in which it is made', () => {
  let server: Server;
  let database: Database;

  beforeEach(async () => {
    server = farewellServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    database = new Database({ host: '127.0.0.1', port, user: 'someone', database: 'any', password: 'none', ssl: false }, { poolSize: 2 });
  });

  afterEach(async () => {
    await database.close();
    server.close();
  });

  // An error event without a handler would end the process, and this test with it.
  it.each([
    ['a transaction', () => database.transaction(async (client) => client.query('SELECT 1'))],
    ['a heartbeat', () => database.reserved({ name: 'one', text: () => 'SELECT 1' }, [])],
    ['a claim', () => database.query({ name: 'one', text: () => 'SELECT 1' }, [])],
    ['a listing', () => database.read('SELECT 1', [])],
  ])('rejects %s and harms nothing else', async (_, query) => {
    await expect(query()).rejects.toThrow(/terminat|Client has encountered a connection error|not queryable/);
  });
});
