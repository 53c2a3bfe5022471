import { RequestMethod } from '@nestjs/common';
import type { ApplicationConfig } from '@nestjs/core';

/** Methods and paths below the dashboard: the page, one of its files, a read and a change. */
const REQUESTS = [
  [RequestMethod.GET, ''],
  [RequestMethod.GET, '/assets/index.js'],
  [RequestMethod.GET, '/api/overview'],
  [RequestMethod.POST, '/api/runs/a/cancel'],
] as const;

/**
 * True when the option `exclude` of the global prefix matches some paths of the dashboard and not
 * the others. The page would then ask for its files at addresses that do not exist.
 *
 * @param path path of the page, without the prefix
 */
export function isSplitByPrefix(config: ApplicationConfig, path: string): boolean {
  const excluded = config.getGlobalPrefixOptions().exclude ?? [];
  if (config.getGlobalPrefix() === '' || excluded.length === 0) return false;
  const matches = REQUESTS.map(([method, rest]) =>
    excluded.some(({ pathRegex, requestMethod }) => {
      const isEvery = requestMethod === RequestMethod.ALL || Number(requestMethod) === -1;
      return (isEvery || requestMethod === method) && pathRegex.test(`${path}${rest}`);
    }),
  );
  return new Set(matches).size > 1;
}
