import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { closeLater } from './closing.js';

const PASSED_ON = ['authorization', 'content-type', 'upstash-cron', 'upstash-schedule-id'];

/** Starts a proxy in front of QStash's API that takes `ms` to answer, and returns its URL. */
export async function slowApi(apiUrl: string, ms: number): Promise<string> {
  const server = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      await sleep(ms);
      const headers = Object.fromEntries(
        PASSED_ON.flatMap((name) => (request.headers[name] ? [[name, String(request.headers[name])]] : [])),
      );
      const answered = await fetch(`${apiUrl}${request.url}`, { method: request.method ?? 'POST', headers, body: Buffer.concat(chunks) });
      response.writeHead(answered.status, { 'content-type': 'application/json' });
      response.end(await answered.text());
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLater({
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
