import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { WorkflowConfigurationError } from '../core/errors/index.js';

/**
 * Error classes of the kit, by name. The runtime recognises the errors of a World by their names.
 */
export interface KitErrors {
  readonly WorkflowWorldError: new (message: string, options?: { status?: number }) => Error;
  readonly EntityConflictError: new (message: string) => Error;
  readonly RunExpiredError: new (message: string) => Error;
  readonly TooEarlyError: new (message: string, options: { retryAfter: number }) => Error;
  readonly WorkflowRunNotFoundError: new (runId: string) => Error;
  readonly HookNotFoundError: new (token: string) => Error;
  readonly RunNotSupportedError: new (runSpecVersion: number, worldSpecVersion: number) => Error;
}

/** The installed kit. */
export interface Kit {
  /** Version of the package `@workflow/world`. */
  readonly version: string;
  /** Version of the contract that new runs get. */
  readonly specVersion: number;
  /** Newest version of runs that the kit can execute. */
  readonly maxSpecVersion: number;
  readonly errors: KitErrors;
  /** Creates the error for attributes that the kit refuses; the stable line has none. */
  attributeError(message: string): Error;
}

/** Exports of the package `@workflow/world` that the World uses. */
interface WorldPackage {
  readonly SPEC_VERSION_CURRENT?: unknown;
  readonly SPEC_VERSION_MAX_SUPPORTED?: number;
  readonly mintedSpecVersion?: () => unknown;
  readonly AttributeValidationError?: new (message: string) => Error;
}

/** Versions of the contract that the World implements. 4 and 2 were never current in a release. */
const SUPPORTED_SPECS = new Set([3, 5, 6, 7]);

/** Packages through which the kit's own packages are found where they are not hoisted. */
const WAYS = [
  [],
  ['workflow'],
  ['workflow', '@workflow/core'],
  ['@workflow/core'],
  ['@workflow/nest', '@workflow/core'],
  ['@workflow/world-testing'],
];

/**
 * Loads the kit from the application's folder. The classes must be the application's own: the
 * package brings no copy of the kit.
 *
 * @throws WorkflowConfigurationError when the kit is missing, or its version is not supported
 */
export function loadKit(folder = process.cwd()): Kit {
  const { path, version } = findPackage('@workflow/world', folder);
  const world = requireModule(path) as WorldPackage;
  // A variable of the kit may put new runs back to the version before.
  const specVersion = world.mintedSpecVersion?.() ?? world.SPEC_VERSION_CURRENT;
  if (typeof specVersion !== 'number' || !SUPPORTED_SPECS.has(specVersion)) {
    throw new WorkflowConfigurationError(
      `nestjs-durable/world does not support @workflow/world ${version} (spec ${String(specVersion)}); ` +
        `it supports workflow 4.8 (spec 3), and betas of workflow 5 with spec 5, 6 or 7`,
    );
  }
  const errors = requireModule(findPackage('@workflow/errors', folder).path) as KitErrors;
  const { AttributeValidationError = errors.WorkflowWorldError } = world;
  const { SPEC_VERSION_MAX_SUPPORTED: maxSpecVersion = specVersion } = world;
  return { version, specVersion, maxSpecVersion, errors, attributeError: (message) => new AttributeValidationError(message) };
}

function findPackage(name: string, folder: string): { path: string; version: string } {
  for (const way of WAYS) {
    let from: string | undefined = folder;
    for (const each of [...way, name]) from = from === undefined ? undefined : packageFolder(each, from);
    if (from === undefined) continue;
    const { version } = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8')) as { version: string };
    return { path: from, version };
  }
  throw new WorkflowConfigurationError(
    `nestjs-durable/world did not find ${name} in the folder ${folder} or above it: install workflow, and start the application in its own folder`,
  );
}

/** Finds the folder of a package as Node does. Packages of the kit do not export package.json. */
function packageFolder(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return realpathSync(candidate);
    if (folder === dirname(folder)) return undefined;
  }
}

/**
 * Loads a module synchronously, because the stable line creates its World synchronously. The
 * built-in `module` is taken from the process itself: a bundler or a test runner would replace an
 * import of it.
 */
function requireModule(path: string): unknown {
  const { createRequire } = process.getBuiltinModule('node:module');
  return createRequire(join(path, 'package.json'))(path) as unknown;
}
