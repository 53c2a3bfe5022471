import type { CanActivate, Type } from '@nestjs/common';

import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import type { HttpEndpoints } from '../../host/http-endpoints.js';
import { checkDashboard, type DashboardOptions, type DashboardSettings } from './dashboard-options.js';
import { checkEndpoint, type EndpointSettings } from './endpoint-options.js';

/**
 * Access to an endpoint: `true` opens the endpoint, `false` closes it, and an object opens it with
 * guards and decorators.
 */
export type EndpointOptions =
  | boolean
  | {
      /** Guards of the endpoint: classes, or objects with `canActivate`. (default: none) */
      guards?: (Type<CanActivate> | CanActivate)[];
      /**
       * Decorators of the endpoint's controller, such as the `@Public()` that the application's
       * global guard recognizes, or `@SkipThrottle()`. (default: none)
       */
      decorators?: ClassDecorator[];
    };

/**
 * Access to an endpoint that shows data of runs: closed, or open to the requests that guards admit.
 */
export type GuardedEndpointOptions =
  | false
  | {
      /**
       * Guards of the endpoint: classes, or objects with `canActivate`. An empty list leaves the
       * decision to the application's global guards. Required.
       */
      guards: (Type<CanActivate> | CanActivate)[];
      /** Decorators of the endpoint's controller. (default: none) */
      decorators?: ClassDecorator[];
    };

/** Access to the endpoint for metrics, as in `GuardedEndpointOptions`, and its path. */
export type MetricsEndpointOptions =
  | false
  | (Exclude<GuardedEndpointOptions, false> & {
      /** Path of the endpoint, such as `'metrics'`. (default: `'{path}/metrics'`) */
      path?: string;
    });

/**
 * HTTP endpoints of the module: the dashboard, and endpoints for hooks, for streams, for metrics,
 * and for QStash.
 */
export interface HttpOptions {
  /**
   * Prefix of the paths of all endpoints. Each module of an application needs its own. (default:
   * `'workflow'`)
   */
  path?: string;
  /**
   * Opens the dashboard at `{path}/dashboard`: a page for operators, and its JSON API. (default:
   * closed)
   */
  dashboard?: DashboardOptions;
  /**
   * Opens `POST {path}/hooks/:token`, which resumes the run that has the hook. (default: closed)
   */
  hooks?: EndpointOptions;
  /**
   * Opens `GET {path}/metrics`, which returns `client.metrics()` to Prometheus. The text contains
   * names of workflows, steps and queues. (default: closed)
   */
  metrics?: MetricsEndpointOptions;
  /**
   * Opens `GET {path}/runs/:runId/streams/:name`, which sends a stream of a run as server-sent
   * events or as JSON. (default: closed)
   */
  streams?: GuardedEndpointOptions;
  /**
   * Opens `POST {path}/qstash` and `POST {path}/qstash/sweep`, which accept only requests signed by
   * QStash. Set `false` in a process that starts runs but does not execute them. (default: `true`;
   * without effect with `transport: 'poll'`)
   */
  qstash?: boolean;
  /**
   * Public address of this application, such as `https://shop.example`, including the global prefix
   * if the application has one. `hook.url` begins with this address. (default: none)
   */
  publicUrl?: string;
}

/** Checked HTTP options, with defaults applied. */
export interface HttpSettings extends HttpEndpoints {
  /** Settings of the dashboard; undefined when the options do not ask for it. */
  readonly dashboard: DashboardSettings | undefined;
  /** Guards and decorators of the endpoint for hooks; undefined when the endpoint is closed. */
  readonly hooks: EndpointSettings | undefined;
  /**
   * Guards, decorators and path of the endpoint for metrics; undefined when the endpoint is closed.
   */
  readonly metrics: MetricsEndpointSettings | undefined;
  /** Guards and decorators of the endpoint for streams; undefined when the endpoint is closed. */
  readonly streams: EndpointSettings | undefined;
}

export interface MetricsEndpointSettings extends EndpointSettings {
  /** Path of the endpoint, without a slash at either end. */
  readonly path: string;
}

export const DEFAULT_PATH = 'workflow';

/**
 * Checks the HTTP options and applies the defaults.
 *
 * @throws InvalidInputError naming the option that is invalid
 */
export function checkHttp(http: HttpOptions | undefined): HttpSettings {
  const given = checkOptions(http === undefined ? {} : http, 'http', [
    'path',
    'dashboard',
    'hooks',
    'metrics',
    'streams',
    'qstash',
    'publicUrl',
  ]);
  const path = given.path === undefined ? DEFAULT_PATH : checkPath(given.path, 'http.path');
  return {
    path,
    dashboard: checkDashboard(given.dashboard, process.env['NODE_ENV'] === 'production'),
    hooks: checkEndpoint(given.hooks, 'http.hooks'),
    metrics: checkMetrics(given.metrics, path),
    streams: checkGuarded(given.streams, 'http.streams'),
    qstash: checkSwitch(given.qstash, 'http.qstash'),
    publicUrl: given.publicUrl === undefined ? '' : checkPublicUrl(given.publicUrl),
  };
}

function checkPath(value: unknown, argument: string): string {
  const path = checkText(value, argument).replaceAll(/^\/|\/$/g, '');
  if (!/^[\w.~-]+(?:\/[\w.~-]+)*$/.test(path)) {
    throw new InvalidInputError(
      argument,
      "must be a path such as 'workflow' or 'internal/workflow', of letters, digits, '.', '_', '~' and '-'",
    );
  }
  return path;
}

function checkSwitch(value: unknown, argument: string): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw new InvalidInputError(argument, 'must be a boolean');
  return value ?? true;
}

function checkMetrics(value: unknown, prefix: string): MetricsEndpointSettings | undefined {
  if (typeof value !== 'object' || value === null) {
    checkGuarded(value, 'http.metrics');
    return undefined;
  }
  const given = checkOptions<Partial<Record<string, unknown>>>(value, 'http.metrics', ['guards', 'decorators', 'path']);
  const { path, ...access } = given;
  const endpoint = checkGuarded(access, 'http.metrics')!;
  return { ...endpoint, path: path === undefined ? `${prefix}/metrics` : checkPath(path, 'http.metrics.path') };
}

function checkGuarded(value: unknown, argument: string): EndpointSettings | undefined {
  const isOpen = value !== undefined && value !== false;
  if (isOpen && (typeof value !== 'object' || value === null || (value as { guards?: unknown }).guards === undefined)) {
    throw new InvalidInputError(argument, 'must be false, or an object that names its guards: { guards: [UserGuard] }');
  }
  return checkEndpoint(value, argument);
}

/**
 * Adds the HTTP options that a factory of `forRootAsync` has returned.
 *
 * @throws InvalidInputError when an option is invalid, or may only be set when the module is
 *   defined
 */
export function completeHttp(http: HttpSettings, given: unknown): HttpSettings {
  if (given === undefined) return http;
  for (const fixed of ['path', 'dashboard', 'hooks', 'metrics', 'streams', 'qstash']) {
    if (typeof given === 'object' && given !== null && Object.hasOwn(given, fixed)) {
      throw new InvalidInputError(`http.${fixed}`, FIXED_AT_DEFINITION);
    }
  }
  const { publicUrl } = checkOptions(given as { publicUrl?: unknown }, 'http', ['publicUrl']);
  return publicUrl === undefined ? http : { ...http, publicUrl: checkPublicUrl(publicUrl) };
}

/**
 * Error text for an option that a factory has returned, although it may only be set when the module
 * is defined.
 */
export const FIXED_AT_DEFINITION =
  'is fixed when the module is defined: set it beside the factory, as in forRootAsync({ name, http: { hooks: true }, useFactory })';

function checkPublicUrl(value: unknown): string {
  const text = typeof value === 'string' && URL.canParse(value) ? value : '';
  const url = text === '' ? undefined : new URL(text);
  const isUsable = url && ['http:', 'https:'].includes(url.protocol) && url.search + url.hash + url.username + url.password === '';
  if (!isUsable)
    throw new InvalidInputError('http.publicUrl', 'must be a URL such as https://shop.example, without a query or credentials');
  return url.href.replace(/\/+$/, '');
}
