import { Injectable } from '@nestjs/common';
import type { DiscoveryService } from '@nestjs/core';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';

/** Request to a hook, as its verifier receives it. */
export interface HookVerificationRequest {
  /** Token of the hook, from the address of the request. */
  readonly token: string;
  /** Unchanged bytes of the body. */
  readonly rawBody: Buffer;
  /** All headers, with names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Verifier of requests to hooks, which classes with `@HookVerifier` implement. */
export interface HookRequestVerifier {
  /**
   * Returns true when the request is genuine. If this method throws, the request is answered with
   * status 500, so the sender can send it again.
   */
  verify(request: HookVerificationRequest): boolean | Promise<boolean>;
}

const NAME = Symbol.for('nestjs-durable.hook-verifier');

/**
 * Turns an injectable class into a verifier of requests to hooks. `ctx.hook({ verify })` refers to
 * the verifier by its name. List the class among the `providers` of a module. The raw body requires
 * `NestFactory.create(AppModule, { rawBody: true })`.
 *
 * @param name name of the verifier, of at most 255 characters
 * @throws InvalidInputError when the name is invalid
 * @example
 * @HookVerifier('github')
 * export class GitHubVerifier implements HookRequestVerifier {
 *   verify({ rawBody, headers }: HookVerificationRequest): boolean {
 *     const expected = createHmac('sha256', this.secret).update(rawBody).digest();
 *     const signature = (headers['x-hub-signature-256'] ?? '').replace('sha256=', '');
 *     const given = Buffer.from(signature, 'hex');
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
 * Finds the verifiers among the application's providers.
 *
 * @returns the verifiers by name
 * @throws WorkflowConfigurationError for a name used twice, for a verifier without a method
 *   `verify`, and for a verifier that is not a singleton
 */
export function findVerifiers(discovery: DiscoveryService): Map<string, HookRequestVerifier> {
  const found = new Map<string, HookRequestVerifier>();
  for (const wrapper of discovery.getProviders()) {
    const type = typeOf(wrapper);
    if (!type || wrapper.isAlias) continue;
    const name = (type as unknown as Record<symbol, string>)[NAME]!;
    const where = `@HookVerifier('${name}') on ${type.name}`;
    if (wrapper.isTransient || !wrapper.isDependencyTreeStatic())
      throw new WorkflowConfigurationError(`${where}: it must be a singleton, and so must its dependencies`);
    const instance = wrapper.instance as HookRequestVerifier;
    if (typeof instance?.verify !== 'function') throw new WorkflowConfigurationError(`${where}: the class has no method verify(request)`);
    const other = found.get(name);
    if (other && other.constructor !== type)
      throw new WorkflowConfigurationError(`${where}: ${other.constructor.name} already has that name`);
    found.set(name, instance);
  }
  return found;
}

function typeOf(wrapper: ReturnType<DiscoveryService['getProviders']>[number]): Function | undefined {
  if (isVerifier(wrapper.metatype)) return wrapper.metatype;
  // Read the instance only if a factory created it or it was provided as a value. Any other
  // instance may be a proxy, and reading it may fail.
  const instance = wrapper.isNotMetatype || wrapper.inject ? (wrapper.instance as object | null | undefined) : undefined;
  if (typeof instance !== 'object' || instance === null) return undefined;
  return isVerifier(instance.constructor) ? instance.constructor : undefined;
}

function isVerifier(type: unknown): type is Function {
  return typeof type === 'function' && Object.hasOwn(type, NAME);
}
