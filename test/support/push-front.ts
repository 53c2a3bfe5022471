import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { ANY_VERSION } from '../../src/core/run.js';
import type { QStashOptions } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';

const SWEEP_EVERY_MS = 1_000;
/** Time by which waiting wake-ups age between two sweeps. */
const SPED_UP = `interval '2 minutes'`;
const PASSED_ON = ['content-type', 'upstash-signature', 'upstash-message-id', 'upstash-retried'];

/**
 * A QStash, and the address to which it delivers: a proxy in front of all applications of one
 * database, as in front of a deployment's replicas.
 */
export class PushFront {
  private readonly backends = new Set<string>();
  private sweeping: NodeJS.Timeout | undefined;
  private next = 0;

  private constructor(
    readonly qstash: QStashEmulator,
    private readonly server: Server,
  ) {
    server.on('request', (request, response) => void this.pass(request, response).catch(() => response.destroy()));
  }

  /**
   * @param query executes SQL on the applications' database: before each sweep, overdue runs age by
   * minutes
   */
  static async start(query: (text: string) => Promise<unknown>): Promise<PushFront> {
    const qstash = await QStashEmulator.start();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const front = new PushFront(qstash, server);
    front.sweeping = setInterval(() => void front.sweep(query).catch(() => undefined), SWEEP_EVERY_MS);
    return front;
  }

  /** The QStash options of the applications. */
  get options(): QStashOptions {
    const { url, token, currentSigningKey, nextSigningKey } = this.qstash;
    return { url, token, currentSigningKey, nextSigningKey, targetUrl: this.url };
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  add(backend: string): void {
    this.backends.add(backend);
  }

  remove(backend: string): void {
    this.backends.delete(backend);
  }

  async close(): Promise<void> {
    clearInterval(this.sweeping);
    await this.qstash.close();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async sweep(query: (text: string) => Promise<unknown>): Promise<void> {
    if (this.backends.size === 0) return;
    // The first claim of a run that was started by name computes the deadline from `ready_at`: such
    // a run ages together with its start.
    await query(`UPDATE durable.workflow_runs SET ready_at = ready_at - ${SPED_UP},
      created_at = CASE WHEN version = ${ANY_VERSION} AND deadline_at IS NULL THEN created_at - ${SPED_UP} ELSE created_at END
      WHERE status = 'pending' AND ready_at < now()`);
    await query(`UPDATE durable.workflow_outbox SET next_at = next_at - ${SPED_UP}`);
    const headers = { authorization: `Bearer ${this.qstash.token}` };
    await fetch(`${this.qstash.url}/v2/publish/${this.url}/workflow/qstash/sweep`, { method: 'POST', headers });
  }

  /**
   * Passes a delivery to one application after the other until one executes its run: tests have
   * applications with different workflows on one database.
   */
  private async pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const headers = Object.fromEntries(PASSED_ON.flatMap((name) => (request.headers[name] ? [[name, String(request.headers[name])]] : [])));
    let answer = { status: 503, body: '' };
    const backends = [...this.backends];
    const first = this.next++;
    for (let index = 0; index < backends.length; index++) {
      const backend = backends[(first + index) % backends.length]!;
      const answered = await fetch(`${backend}${request.url}`, { method: 'POST', headers, body: Buffer.concat(chunks) }).catch(
        () => undefined,
      );
      if (!answered) continue;
      answer = { status: answered.status, body: await answered.text() };
      if (answer.status === 200 && !['nothing', 'swept'].includes((JSON.parse(answer.body) as { status: string }).status)) break;
    }
    response.writeHead(answer.status, { 'content-type': 'application/json', ...(answer.status === 503 ? { 'retry-after': '1' } : {}) });
    response.end(answer.body);
  }
}
