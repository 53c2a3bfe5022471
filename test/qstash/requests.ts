import { createHash, createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import type { LoggerService } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';

import type { TestDatabase } from '../support/database.js';
import type { PushedApplication } from '../support/pushed-application.js';

/** The endpoint's answer. */
export interface Answer {
  readonly status: number;
  readonly body: { readonly status?: string };
  readonly headers: Headers;
}

export interface SentRequest {
  /** Path of the endpoint. (default: the path of deliveries) */
  readonly path?: string;
  readonly body?: string | Buffer;
  /** Signature header; undefined leaves it out. (default: the signature of QStash) */
  readonly signature?: string | undefined;
  readonly headers?: Record<string, string>;
}

export const DELIVERY = '/workflow/qstash';
export const SWEEP = '/workflow/qstash/sweep';

/** Sends a request to an application's endpoint, by default with the signature of QStash. */
export async function send(to: PushedApplication, request: SentRequest = {}): Promise<Answer> {
  const { path = DELIVERY, body = '', headers = { 'content-type': 'application/json' } } = request;
  const url = `${to.targetUrl}${path}`;
  const signature = 'signature' in request ? request.signature : to.qstash.sign({ url, body });
  const response = await fetch(url, {
    method: 'POST',
    body: typeof body === 'string' ? Buffer.from(body) : body,
    headers: { ...headers, ...(signature === undefined ? {} : { 'upstash-signature': signature }) },
  });
  return { status: response.status, body: (await response.json()) as Answer['body'], headers: response.headers };
}

/** A wake-up, as the publisher writes it. */
export function wakeUp(run: string): string {
  return JSON.stringify({ v: 1, run, queue: 'default', seq: '0.0' });
}

export interface Forgery {
  readonly header?: Record<string, unknown>;
  /** Claims that replace those of QStash; undefined leaves a claim out. */
  readonly claims?: Record<string, unknown>;
  readonly key?: string;
}

/** Makes a token for a body and an address, with the given forgeries. */
export function forge(to: PushedApplication, body: string, { header, claims, key = to.qstash.currentSigningKey }: Forgery): string {
  const iat = Math.floor(Date.now() / 1_000);
  const hash = createHash('sha256').update(body).digest('base64url');
  const said = { iss: 'Upstash', sub: `${to.targetUrl}${DELIVERY}`, exp: iat + 300, nbf: iat, iat, jti: 'jwt_x', body: hash, ...claims };
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${encode({ alg: 'HS256', typ: 'JWT', ...header })}.${encode(said)}`;
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}

/** Reads every row of every table of the module. */
export async function contentsOf(database: TestDatabase): Promise<Record<string, unknown>> {
  const tables = await database.query<{ name: string }>(`SELECT relname AS name FROM pg_class
    WHERE relnamespace = 'durable'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1`);
  if (tables.length < 10) throw new Error('those are not all tables');
  const entries = tables.map(async ({ name }) => {
    const [row] = await database.query<{ rows: unknown }>(`SELECT json_agg(t ORDER BY t::text) AS rows FROM durable."${name}" t`);
    return [name, row?.rows] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Keeps what an application logs. */
export class Lines implements LoggerService {
  readonly lines: string[] = [];
  log = (line: unknown): void => void this.lines.push(String(line));
  warn = this.log;
  error = this.log;
  debug = this.log;
  verbose = this.log;

  has(text: string): boolean {
    return this.lines.some((line) => line.includes(text));
  }
}

const FASTIFY = '@nestjs/platform-fastify';

/** Tells if a package is installed. Fastify is not among the dependencies of this repository. */
function isInstalled(name: string): boolean {
  try {
    createRequire(join(process.cwd(), 'package.json')).resolve(name);
    return true;
  } catch {
    return false;
  }
}

export interface Platform {
  readonly name: 'express' | 'fastify';
  readonly isInstalled: boolean;
  /** Makes the adapter; undefined leaves the choice to Nest. */
  adapter(): Promise<AbstractHttpAdapter | undefined>;
}

/** The HTTP servers of Nest. */
export const platforms: readonly Platform[] = [
  { name: 'express', isInstalled: true, adapter: async () => undefined },
  {
    name: 'fastify',
    isInstalled: isInstalled(FASTIFY),
    adapter: async () => {
      const { FastifyAdapter } = (await import(FASTIFY)) as { FastifyAdapter: new () => AbstractHttpAdapter };
      return new FastifyAdapter();
    },
  },
];
