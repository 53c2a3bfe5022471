import type { CanActivate, Type } from '@nestjs/common';

import { checkOptions } from '../core/check-options.js';
import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import type { HttpEndpoints } from '../host/http-endpoints.js';

/** Whether an endpoint is open, who guards it, and what else is said of it. */
export type EndpointOptions =
  | boolean
  | {
      guards?: (Type<CanActivate> | CanActivate)[];
      /** Decorators of the endpoint's controller, such as the `@Public()` that the application's global guard looks for, or `@SkipThrottle()`. */
      decorators?: ClassDecorator[];
    };

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

export interface EndpointSettings {
  readonly guards: readonly (Type<CanActivate> | CanActivate)[];
  readonly decorators: readonly ClassDecorator[];
}

/** The HTTP options with every value known. */
export interface HttpSettings extends HttpEndpoints {
  /** Guards and decorators of the endpoint for hooks; undefined while the endpoint is closed. */
  readonly hooks: EndpointSettings | undefined;
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

function checkEndpoint(value: unknown, argument: string): EndpointSettings | undefined {
  if (value === undefined || value === false) return undefined;
  if (value === true) return { guards: [], decorators: [] };
  const { guards, decorators } = checkOptions(value as { guards: unknown; decorators: unknown }, argument, ['guards', 'decorators']);
  return {
    guards: checkList(guards, isGuard, `${argument}.guards`, 'guards: classes or objects with canActivate'),
    decorators: checkList(decorators, isFunction, `${argument}.decorators`, 'decorators of classes'),
  };
}

function checkList<T>(value: unknown, isMember: (member: unknown) => member is T, argument: string, what: string): readonly T[] {
  if (value === undefined) return [];
  try {
    const list: unknown[] | undefined = Array.isArray(value) ? [...(value as unknown[])] : undefined;
    if (list?.every(isMember)) return list;
  } catch (cause) {
    throw new InvalidInputError(argument, 'cannot be read', { cause });
  }
  throw new InvalidInputError(argument, `must be an array of ${what}`);
}

function isFunction(value: unknown): value is ClassDecorator {
  return typeof value === 'function';
}

function isGuard(value: unknown): value is Type<CanActivate> | CanActivate {
  const guard = typeof value === 'function' ? (value.prototype as unknown) : value;
  return typeof guard === 'object' && guard !== null && typeof (guard as Partial<CanActivate>).canActivate === 'function';
}

/**
 * The endpoints with what a factory of `forRootAsync` says of them.
 *
 * @throws InvalidInputError also for what is fixed when the module is defined
 */
export function completeHttp(http: HttpSettings, given: unknown): HttpSettings {
  if (given === undefined) return http;
  for (const fixed of ['path', 'hooks', 'qstash']) {
    if (typeof given === 'object' && given !== null && Object.hasOwn(given, fixed)) {
      throw new InvalidInputError(`http.${fixed}`, FIXED);
    }
  }
  const { publicUrl } = checkOptions(given as { publicUrl?: unknown }, 'http', ['publicUrl']);
  return publicUrl === undefined ? http : { ...http, publicUrl: checkPublicUrl(publicUrl) };
}

/** What is wrong with an option that a factory gives and that it cannot give. */
export const FIXED =
  'is fixed when the module is defined: it stands beside the factory, as in forRootAsync({ name, http: { hooks: true }, useFactory })';

function checkPublicUrl(value: unknown): string {
  const text = typeof value === 'string' && URL.canParse(value) ? value : '';
  const url = text === '' ? undefined : new URL(text);
  const isUsable = url && ['http:', 'https:'].includes(url.protocol) && url.search + url.hash + url.username + url.password === '';
  if (!isUsable)
    throw new InvalidInputError('http.publicUrl', 'must be a URL such as https://shop.example, without a query or credentials');
  return url.href.replace(/\/+$/, '');
}
