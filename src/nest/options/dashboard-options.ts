import type { IncomingHttpHeaders } from 'node:http';

import type { CanActivate, Type } from '@nestjs/common';

import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkEndpoint, type EndpointSettings } from './endpoint-options.js';

/** A request to the dashboard, as in Express and Fastify. */
export interface DashboardHttpRequest {
  /** Headers of the request. */
  readonly headers: IncomingHttpHeaders;
  /** User whom a guard has recognised, if the guard sets this property. */
  readonly user?: unknown;
}

/** Access to the dashboard, and what its users may see and do. */
export type DashboardOptions =
  | false
  | {
      /**
       * Guards of the page and of its API: classes, or objects with `canActivate`. An empty list
       * leaves the decision to the application's global guards. (default: none; the dashboard is
       * then open during development, and closed when `NODE_ENV` is `production`)
       */
      guards?: (Type<CanActivate> | CanActivate)[];
      /** Decorators of the dashboard's controller. (default: none) */
      decorators?: ClassDecorator[];
      /**
       * Returns the name of the user, at most 255 characters. The histories of runs and the log
       * show who made a change. (default: `'dashboard'` for every user)
       */
      actor?(request: DashboardHttpRequest): string | undefined;
      /** True refuses every change. (default: false) */
      readOnly?: boolean;
      /**
       * `'visible'` decodes payloads with the codec of the module. `'encrypted'` shows only that
       * such payloads exist. (default: `'encrypted'`; without a codec, all payloads are visible)
       */
      payloads?: 'visible' | 'encrypted';
    };

/** Checked options of the dashboard, with defaults applied. */
export interface DashboardSettings extends EndpointSettings {
  /** False in production without guards. */
  readonly isOpen: boolean;
  readonly hasGuards: boolean;
  readonly actorOf: (request: DashboardHttpRequest) => string | undefined;
  readonly isReadOnly: boolean;
  readonly showsPayloads: boolean;
}

const KEYS = ['guards', 'decorators', 'actor', 'readOnly', 'payloads'];

/** Name with which changes are recorded when the application names no user. */
const DEFAULT_ACTOR = 'dashboard';

/**
 * Checks the options of the dashboard.
 *
 * @returns undefined when the options ask for no dashboard
 * @throws InvalidInputError naming the option that is invalid
 */
export function checkDashboard(value: unknown, isProduction: boolean): DashboardSettings | undefined {
  if (value === undefined || value === false) return undefined;
  if (typeof value !== 'object')
    throw new InvalidInputError('http.dashboard', 'must be false, or an object such as { guards: [AdminGuard] }');
  const given = checkOptions(value as Readonly<Record<string, unknown>>, 'http.dashboard', KEYS);
  const { guards, decorators, actor, readOnly = false, payloads = 'encrypted' } = given;
  const endpoint = checkEndpoint({ guards, decorators }, 'http.dashboard')!;
  if (actor !== undefined && typeof actor !== 'function') throw new InvalidInputError('http.dashboard.actor', 'must be a function');
  if (typeof readOnly !== 'boolean') throw new InvalidInputError('http.dashboard.readOnly', 'must be a boolean');
  if (payloads !== 'visible' && payloads !== 'encrypted')
    throw new InvalidInputError('http.dashboard.payloads', "must be 'visible' or 'encrypted'");
  const hasGuards = guards !== undefined;
  return {
    ...endpoint,
    isOpen: hasGuards || !isProduction,
    hasGuards,
    actorOf: (request) => (actor === undefined ? DEFAULT_ACTOR : (actor as (given: DashboardHttpRequest) => string | undefined)(request)),
    isReadOnly: readOnly,
    showsPayloads: payloads === 'visible',
  };
}
