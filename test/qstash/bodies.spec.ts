import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import type { NestApplicationOptions } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication, type PushedSettings } from '../support/pushed-application.js';
import { seconds, waitFor } from '../support/wait.js';
import { DELIVERY, Lines, platforms, send, SWEEP, wakeUp } from './requests.js';

@Workflow({ name: 'short' })
class Short {
  async run(): Promise<string> {
    return 'done';
  }
}

/** Sends a text byte for byte. Returns the answer. */
function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (data: Buffer) => (answer += data.toString()));
    socket.on('close', () => resolve(answer)).on('error', reject);
  });
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

for (const platform of platforms)
  (platform.isInstalled ? describe : describe.skip)(`a delivery over ${platform.name}`, () => {
    const start = async (settings: PushedSettings = {}): Promise<PushedApplication> => {
      const adapter = await platform.adapter();
      return startPushed(database.url, [Short], { ...settings, ...(adapter ? { adapter } : {}) });
    };
    const body = wakeUp('nobody');
    const taken = { status: 200, body: { status: 'nothing' } };

    describe('a body, in an application that keeps raw bodies', () => {
      let pushed: PushedApplication;
      beforeAll(async () => {
        pushed = await start();
      });
      afterAll(closeApplications);

      const raw = async (head: readonly string[], payload: string): Promise<string> => {
        const url = `${pushed.targetUrl}${DELIVERY}`;
        const signature = pushed.qstash.sign({ url, body });
        const lines = [`POST ${DELIVERY} HTTP/1.1`, 'Host: shop.example', 'Connection: close', `Upstash-Signature: ${signature}`, ...head];
        return exchange(Number(new URL(url).port), `${lines.join('\r\n')}\r\n\r\n${payload}`);
      };

      it.each([
        'application/json',
        'application/json; charset=utf-8',
        'application/cloudevents+json',
        'text/plain',
        'text/plain; charset=utf-8',
        'application/octet-stream',
        'application/x-www-form-urlencoded',
        'image/gif',
      ])('is accepted with the content type %s', async (type) => {
        // A proxy may not know the type. Fastify passes a body on only when it has a
        // parser for its type.
        const answer = await send(pushed, { body, headers: { 'content-type': type } });
        if (platform.name === 'fastify' && !/\/json|\/plain|urlencoded/.test(type)) expect(answer.status).toBe(415);
        else expect(answer).toMatchObject(taken);
      });

      it('is accepted without a content type, and in chunks', async () => {
        const whole = await raw([`Content-Length: ${body.length}`], body);
        expect(whole).toMatch(platform.name === 'express' ? /^HTTP\/1.1 200 / : /^HTTP\/1.1 (200|415) /);
        const [first, second] = [body.slice(0, 10), body.slice(10)];
        const chunks = [first, second, ''].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('');
        expect(await raw(['Content-Type: application/json', 'Transfer-Encoding: chunked'], chunks)).toMatch(/^HTTP\/1.1 200 /);
      });

      it('is answered with 413 when it is larger than 16 KiB, with and without a content length', async () => {
        const large = JSON.stringify({ run: 'x'.repeat(17 << 10) });
        expect((await send(pushed, { body: large })).status).toBe(413);
        expect((await send(pushed, { body: large, headers: { 'content-type': 'text/plain' } })).status).toBe(413);
        expect((await send(pushed, { body: large, signature: undefined })).status).toBe(413);
        const chunks = `${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`;
        for (const type of ['application/json', 'text/plain'])
          expect(await raw([`Content-Type: ${type}`, 'Transfer-Encoding: chunked'], chunks)).toMatch(/^HTTP\/1.1 413 /);
      });

      it('is answered with 413 when it is larger than any parser accepts', async () => {
        expect((await send(pushed, { body: JSON.stringify({ run: 'x'.repeat(2 << 20) }) })).status).toBe(413);
      });

      it('is verified when it is empty', async () => {
        const headers = {};
        expect(await send(pushed, { headers })).toMatchObject({ status: 489 });
        expect(await send(pushed, { headers, signature: undefined })).toMatchObject({ status: 401 });
        expect(await send(pushed, { headers, path: SWEEP })).toMatchObject({ status: 200, body: { status: 'swept' } });
      });

      it('is refused when it is compressed and the signature covers the compressed bytes', async () => {
        const url = `${pushed.targetUrl}${DELIVERY}`;
        const zipped = gzipSync(body);
        const over = async (type: string): Promise<number> => {
          const headers = { 'content-type': type, 'content-encoding': 'gzip' };
          return (await send(pushed, { body: zipped, headers, signature: pushed.qstash.sign({ url, body: zipped }) })).status;
        };
        for (const type of ['application/json', 'text/plain']) expect([400, 401, 415]).toContain(await over(type));
      });

      it.each(['{"v":1,"run":', 'null', '"text"', '\ufeff{}'])('is refused when it is not the JSON of a message: %j', async (bad) => {
        expect([400, 489]).toContain((await send(pushed, { body: bad })).status);
        expect((await send(pushed, { body: bad, headers: { 'content-type': 'text/plain' } })).status).toBe(489);
      });

      it('does not disturb later deliveries when it breaks off', async () => {
        const { port } = new URL(pushed.targetUrl);
        for (const type of ['application/json', 'text/plain']) {
          const socket = connect(Number(port), '127.0.0.1');
          socket.write(`POST ${DELIVERY} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: 100\r\n\r\n{"v":`);
          await new Promise<void>((resolve) => socket.end(resolve));
        }
        expect(await send(pushed, { body })).toMatchObject(taken);
      });

      it.each(['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('is answered with 404 or 405 for the method %s', async (method) => {
        for (const path of [DELIVERY, SWEEP]) {
          const url = `${pushed.targetUrl}${path}`;
          const signature = pushed.qstash.sign({ url, body: '' });
          const { status } = await fetch(url, { method, headers: { 'upstash-signature': signature } });
          // Express answers OPTIONS by itself, with the known methods.
          if (!(method === 'OPTIONS' && status === 200)) expect([404, 405]).toContain(status);
        }
      });
    });

    describe('a body, in an application without raw bodies', () => {
      afterEach(closeApplications);

      const answerOf = async (nest: NestApplicationOptions, type = 'application/json') => {
        const logger = new Lines();
        const pushed = await start({ nest, logger });
        const answer = await send(pushed, { body, headers: { 'content-type': type } });
        const completes = async (): Promise<void> => {
          const handle = await pushed.client.start(Short);
          expect(await handle.result({ timeout: seconds(10) })).toBe('done');
        };
        return { answer, logger, pushed, completes };
      };

      it('is answered with 500 when the application parses bodies, and the log explains it once', async () => {
        const { answer, logger, pushed } = await answerOf({ rawBody: false });
        expect(answer).toMatchObject({ status: 500, body: { status: 'no raw body' } });
        expect(logger.has('rawBody: true')).toBe(true);
        const lines = logger.lines.length;
        for (let n = 0; n < 5; n++) expect((await send(pushed, { body, signature: undefined })).status).toBe(500);
        expect(logger.lines).toHaveLength(lines);
      });

      it('is accepted on Express, and answered with 500 on Fastify, when the application parses no bodies', async () => {
        const { answer, logger, completes } = await answerOf({ rawBody: false, bodyParser: false });
        if (platform.name === 'express') {
          expect(answer).toMatchObject(taken);
          expect(logger.has('rawBody: true')).toBe(false);
          await completes();
        } else {
          // Fastify then has its own parser, which keeps no raw body.
          expect(answer).toMatchObject({ status: 500 });
        }
      });
    });
  });

describe('an application on Express', () => {
  afterEach(closeApplications);

  it('logs at boot that it keeps no raw bodies', async () => {
    const logger = new Lines();
    await startPushed(database.url, [Short], { logger, nest: { rawBody: false } });
    await waitFor(() => logger.has('rawBody: true'));
    const silent = new Lines();
    await startPushed(database.url, [Short], { logger: silent });
    expect(silent.has('rawBody')).toBe(false);
  });

  it('logs at boot that a parser given to app.use() disables rawBody: true, and names the alternative', async () => {
    const ours = createRequire(join(process.cwd(), 'package.json'));
    const { json } = createRequire(ours.resolve('@nestjs/platform-express'))('express') as { json(options: object): () => void };
    const logger = new Lines();
    await startPushed(database.url, [Short], { logger, configure: (app) => app.use(json({ limit: '1mb' })) });
    await waitFor(() => logger.has('app.useBodyParser() for limits of your own instead of app.use(json())'));
    const pushed = await startPushed(database.url, [Short], {
      configure: (app) => (app as NestExpressApplication).useBodyParser('json', { limit: '1mb' }),
    });
    expect(await (await pushed.client.start(Short)).result({ timeout: seconds(10) })).toBe('done');
  });

  it('accepts deliveries when a middleware sets an empty object as the body without reading the body', async () => {
    const pushed = await startPushed(database.url, [Short], {
      nest: { bodyParser: false },
      configure: (app) =>
        app.use((request: { body?: unknown }, _: unknown, next: () => void) => {
          request.body = {};
          next();
        }),
    });
    expect(await (await pushed.client.start(Short)).result({ timeout: seconds(10) })).toBe('done');
  });

  it('answers 500 when a middleware has read the body and kept no bytes', async () => {
    const pushed = await startPushed(database.url, [Short], {
      nest: { bodyParser: false },
      configure: (app) =>
        app.use((request: AsyncIterable<Buffer>, _: unknown, next: () => void) => {
          void (async () => {
            for await (const chunk of request) chunk.fill(0);
            next();
          })();
        }),
    });
    expect(await send(pushed, { body: wakeUp('nobody') })).toMatchObject({ status: 500 });
  });
});
