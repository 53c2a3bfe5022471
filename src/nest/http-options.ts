import type { CanActivate, Type } from '@nestjs/common';

import { checkOptions } from '../core/check-options.js';
import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';

/** Whether endpoints are open, and who guards them. */
export type EndpointOptions = boolean | { guards: (Type<CanActivate> | CanActivate)[] };

/** The module's endpoints. All are closed unless they are named here. */
export interface HttpOptions {
  /** What their paths begin with. Default `'workflow'`. Modules of one application need different ones. */
  path?: string;
  /** `POST {path}/hooks/:token`: resumes the run that has the hook. Default: closed. */
  hooks?: EndpointOptions;
  /** `POST {path}/qstash` and `POST {path}/qstash/sweep`, for QStash alone: signed. Default: open with `transport: 'qstash'` and `'both'`; `false` where only others execute runs. */
  qstash?: boolean;
  /** Where the outside world finds this application, as `https://shop.example`, with the global prefix if there is one: `hook.url` begins with it. */
  publicUrl?: string;
}

/** The same, checked. */
export interface HttpSettings {
  /** Without slashes around it. */
  readonly path: string;
  /** The guards of the endpoint for hooks; undefined while it is closed. */
  readonly hooks: readonly (Type<CanActivate> | CanActivate)[] | undefined;
  /** Whether QStash's endpoint is open where the transport needs it. */
  readonly qstash: boolean;
  /** Without a slash at its end; empty when it is not known. */
  readonly publicUrl: string;
}

export const DEFAULT_PATH = 'workflow';

/** @throws InvalidInputError */
export function checkHttp(http: HttpOptions | undefined): HttpSettings {
  const given = checkOptions(http === undefined ? {} : http, 'http', ['path', 'hooks', 'qstash', 'publicUrl']);
  return {
    path: given.path === undefined ? DEFAULT_PATH : checkPath(given.path),
    hooks: checkEndpoint(given.hooks, 'http.hooks'),
    qstash: checkSwitch(given.qstash, 'http.qstash'),
    publicUrl: given.publicUrl === undefined ? '' : checkPublicUrl(given.publicUrl),
  };
}

/** Where a hook is called; only the path when the public URL is not known. */
export function hookUrl({ path, publicUrl }: HttpSettings, token: string): string {
  return `${publicUrl}/${path}/hooks/${encodeURIComponent(token)}`;
}

function checkPath(value: unknown): string {
  const path = checkText(value, 'http.path').replaceAll(/^\/|\/$/g, '');
  if (!/^[\w.~-]+(?:\/[\w.~-]+)*$/.test(path)) {
    throw new InvalidInputError(
      'http.path',
      "must be a path such as 'workflow' or 'internal/workflow', of letters, digits, '.', '_', '~' and '-'",
    );
  }
  return path;
}

function checkSwitch(value: unknown, argument: string): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw new InvalidInputError(argument, 'must be a boolean');
  return value ?? true;
}

function checkEndpoint(value: unknown, argument: string): HttpSettings['hooks'] {
  if (value === undefined || value === false) return undefined;
  if (value === true) return [];
  const { guards } = checkOptions(value as { guards: unknown }, argument, ['guards']);
  let list: unknown[] | undefined;
  try {
    list = Array.isArray(guards) ? [...(guards as unknown[])] : undefined;
    if (list?.every(isGuard)) return list;
  } catch (cause) {
    throw new InvalidInputError(`${argument}.guards`, 'cannot be read', { cause });
  }
  throw new InvalidInputError(`${argument}.guards`, 'must be an array of guards: classes or objects with canActivate');
}

function isGuard(value: unknown): value is Type<CanActivate> | CanActivate {
  const guard = typeof value === 'function' ? (value.prototype as unknown) : value;
  return typeof guard === 'object' && guard !== null && typeof (guard as Partial<CanActivate>).canActivate === 'function';
}

function checkPublicUrl(value: unknown): string {
  const text = typeof value === 'string' && URL.canParse(value) ? value : '';
  const url = text === '' ? undefined : new URL(text);
  const isUsable = url && ['http:', 'https:'].includes(url.protocol) && url.search + url.hash + url.username + url.password === '';
  if (!isUsable)
    throw new InvalidInputError('http.publicUrl', 'must be a URL such as https://shop.example, without a query or credentials');
  return url.href.replace(/\/+$/, '');
}
