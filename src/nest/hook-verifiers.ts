import { Injectable } from '@nestjs/common';
import type { DiscoveryService } from '@nestjs/core';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';

/** A request to a hook, as whoever checks it sees it. */
export interface HookVerificationRequest {
  readonly token: string;
  /** The body as it came, byte for byte. */
  readonly rawBody: Buffer;
  /** All of them; names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Checks requests to hooks: a class with `@HookVerifier`. */
export interface HookRequestVerifier {
  /** Whether the request is genuine. What it throws counts as trouble of its own: the sender is asked to try again. */
  verify(request: HookVerificationRequest): boolean | Promise<boolean>;
}

const NAME = Symbol.for('nestjs-durable.hook-verifier');

/**
 * Makes an injectable class one that checks requests to hooks, by the name that `ctx.hook({ verify })` uses. List it among a module's `providers`.
 * The raw body needs `NestFactory.create(AppModule, { rawBody: true })`.
 *
 * @param name at most 255 characters
 * @throws InvalidInputError when the name is not usable
 * @example
 * @HookVerifier('github')
 * export class GitHubVerifier implements HookRequestVerifier {
 *   verify({ rawBody, headers }: HookVerificationRequest): boolean {
 *     const expected = createHmac('sha256', this.secret).update(rawBody).digest();
 *     const given = Buffer.from((headers['x-hub-signature-256'] ?? '').replace('sha256=', ''), 'hex');
 *     return given.length === expected.length && timingSafeEqual(given, expected);
 *   }
 * }
 */
export function HookVerifier(name: string): <T extends new (...args: never[]) => HookRequestVerifier>(target: T) => void {
  checkText(name, 'name of @HookVerifier()');
  return (target) => {
    Injectable()(target);
    Object.defineProperty(target, NAME, { value: name, configurable: true });
  };
}

/**
 * The verifiers among the application's providers, by name.
 *
 * @throws WorkflowConfigurationError for two of one name, one without `verify`, and one that is not there all the time
 */
export function findVerifiers(discovery: DiscoveryService): Map<string, HookRequestVerifier> {
  const found = new Map<string, HookRequestVerifier>();
  for (const wrapper of discovery.getProviders()) {
    const type = typeOf(wrapper);
    if (!type || wrapper.isAlias) continue;
    const name = (type as unknown as Record<symbol, string>)[NAME]!;
    const where = `@HookVerifier('${name}') on ${type.name}`;
    if (wrapper.isTransient || !wrapper.isDependencyTreeStatic())
      throw new WorkflowConfigurationError(`${where}: it must be one instance for all requests, and so must what it injects`);
    const instance = wrapper.instance as HookRequestVerifier;
    if (typeof instance?.verify !== 'function') throw new WorkflowConfigurationError(`${where}: the class has no method verify(request)`);
    const other = found.get(name);
    if (other && other.constructor !== type)
      throw new WorkflowConfigurationError(`${where}: ${other.constructor.name} has that name already`);
    found.set(name, instance);
  }
  return found;
}

function typeOf(wrapper: ReturnType<DiscoveryService['getProviders']>[number]): Function | undefined {
  if (isVerifier(wrapper.metatype)) return wrapper.metatype;
  // Made by a factory, or given as a value. Merely looking at an instance may fail where it is a proxy.
  const instance = wrapper.isNotMetatype || wrapper.inject ? (wrapper.instance as object | null | undefined) : undefined;
  if (typeof instance !== 'object' || instance === null) return undefined;
  return isVerifier(instance.constructor) ? instance.constructor : undefined;
}

function isVerifier(type: unknown): type is Function {
  return typeof type === 'function' && Object.hasOwn(type, NAME);
}
