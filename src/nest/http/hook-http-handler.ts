import type { IncomingHttpHeaders } from 'node:http';

import {
  BadRequestException,
  ConflictException,
  GoneException,
  HttpException,
  HttpStatus,
  InternalServerErrorException,
  NotFoundException,
  PayloadTooLargeException,
  ServiceUnavailableException,
  UnauthorizedException,
  UnprocessableEntityException,
  type OnModuleInit,
} from '@nestjs/common';
import type { DiscoveryService, HttpAdapterHost } from '@nestjs/core';

import { isMisfit, type HookIntake } from '../../client/hook-intake.js';
import {
  HookNotFoundError,
  InboxFullError,
  InvalidInputError,
  PayloadTooLargeError,
  RunEndedError,
  SerializationError,
  WorkflowConfigurationError,
} from '../../core/errors/index.js';
import type { WarningCode } from '../../core/warning-codes.js';
import type { HookDescription } from '../../store/sql/hooks.js';
import { readBody, type HookHttpRequest } from './hook-body.js';
import { findVerifiers, type HookRequestVerifier } from './hook-verifiers.js';
import { keepsRawBodies } from './raw-body-check.js';
import { HOOK_RECEIVER } from '../tokens.js';

const RAW_BODY = 'NestFactory.create(AppModule, { rawBody: true })';

/** Seconds after which a sender may retry when the inbox of the run is full. */
const RETRY_AFTER_S = '10';

/** Response object, as in Express and Fastify. */
export interface HookHttpResponse {
  header(name: string, value: string): unknown;
}

/** Parts of the module that the handler uses. */
export interface HookHttpHandlerDependencies {
  readonly hookIntake: HookIntake;
  readonly settings: { readonly maxPayloadBytes: number };
  readonly http: { readonly path: string };
  warn(code: WarningCode, message: string, error?: unknown): void;
  /** Warns about a problem that a request has caused, at most once a minute. */
  warnOfRequest(code: WarningCode, message: string, error?: unknown): void;
}

/** Answers HTTP requests to hooks. */
export class HookHttpHandler implements OnModuleInit {
  private verifiers: ReadonlyMap<string, HookRequestVerifier> = new Map();

  constructor(
    private readonly module: HookHttpHandlerDependencies,
    private readonly discovery: DiscoveryService,
    private readonly httpHost: HttpAdapterHost,
  ) {}

  /**
   * Checks that no two modules share a path, and finds the application's verifiers.
   *
   * @throws WorkflowConfigurationError
   */
  async onModuleInit(): Promise<void> {
    this.checkPaths();
    this.verifiers = findVerifiers(this.discovery);
    if (this.verifiers.size === 0 || (await keepsRawBodies(this.httpHost.httpAdapter)) !== 'no') return;
    const names = [...this.verifiers.keys()].map((name) => `'${name}'`).join(', ');
    this.module.warn(
      'hook-raw-body',
      `hooks: @HookVerifier ${names} cannot verify requests, which the endpoint answers with 500: the application keeps no raw bodies: ${RAW_BODY}`,
    );
  }

  /**
   * Delivers the body of one request to the run that has the hook.
   *
   * @returns `accepted`, or `repeated` when the same request was delivered before
   * @throws HttpException with the status that the sender receives
   */
  async receive(token: string, request: HookHttpRequest, response: HookHttpResponse): Promise<{ status: 'accepted' | 'repeated' }> {
    try {
      const hook = await this.find(token);
      const { raw, value } = await readBody(request, this.module.settings.maxPayloadBytes);
      if (hook.verify !== null) await this.verify(hook.verify, token, raw, request.headers);
      const outcome = await this.module.hookIntake.accept(hook, {
        body: value,
        headers: pickHeaders(request.headers, hook.headers),
        deliveryId: hook.idempotencyHeader === null ? undefined : headerOf(request.headers, hook.idempotencyHeader),
      });
      if (outcome === 'accepted' || outcome === 'repeated') return { status: outcome };
      throw new ConflictException('that delivery was received before with another body');
    } catch (error) {
      if (error instanceof InboxFullError) response.header('Retry-After', RETRY_AFTER_S);
      throw this.answerTo(error);
    }
  }

  private async find(token: string): Promise<HookDescription> {
    try {
      return await this.module.hookIntake.find(token);
    } catch (error) {
      // PostgreSQL cannot store a NUL character or a lone surrogate, so no hook has such a token.
      // Answer as for any unknown token.
      throw token.includes('\0') || !token.isWellFormed() ? new HookNotFoundError() : error;
    }
  }

  private async verify(name: string, token: string, rawBody: Buffer | undefined, headers: IncomingHttpHeaders): Promise<void> {
    const verifier = this.verifiers.get(name);
    if (!verifier) {
      this.module.warnOfRequest(
        'hook-verifier-missing',
        `hooks: refused a request: its hook requires verifier '${name}', but no provider has @HookVerifier('${name}')`,
      );
      throw new ServiceUnavailableException();
    }
    if (!rawBody) {
      this.module.warnOfRequest(
        'hook-raw-body',
        `hooks: verifier '${name}' cannot verify requests: the application keeps no raw bodies: ${RAW_BODY}`,
      );
      throw new InternalServerErrorException();
    }
    let isGenuine: unknown;
    try {
      isGenuine = await verifier.verify({ token, rawBody, headers: pickHeaders(headers, Object.keys(headers)) });
    } catch (error) {
      if (error instanceof HttpException) throw error;
      this.module.warnOfRequest('hook-verifier-threw', `hooks: @HookVerifier('${name}') threw`, error);
      throw new InternalServerErrorException();
    }
    if (isGenuine !== true) throw new UnauthorizedException();
  }

  private answerTo(error: unknown): HttpException {
    if (error instanceof HttpException) return error;
    // The answer is the same for every unknown token, so that it reveals nothing about the form of
    // valid tokens.
    if (error instanceof HookNotFoundError) return new NotFoundException();
    if (error instanceof RunEndedError) return new GoneException();
    if (error instanceof InboxFullError) return new HttpException('too many payloads wait for the run', HttpStatus.TOO_MANY_REQUESTS);
    if (error instanceof PayloadTooLargeError) return new PayloadTooLargeException();
    if (isMisfit(error)) {
      const issues = error.issues.map(({ message, path }) => ({ message, path: path.map(String) }));
      return new UnprocessableEntityException({ statusCode: 422, message: 'the body does not fit', issues });
    }
    if (error instanceof InvalidInputError && error.cause !== undefined) {
      this.module.warnOfRequest('hook-schema-threw', 'hooks: the schema of a hook threw', error.cause);
      return new InternalServerErrorException();
    }
    if (error instanceof InvalidInputError || error instanceof SerializationError) return new BadRequestException(error.message);
    this.module.warnOfRequest('hook-payload-not-stored', 'hooks: could not store a payload', error);
    return new ServiceUnavailableException();
  }

  /**
   * Refuses two modules with the same path, because Nest would send the requests for both to the
   * first one.
   */
  private checkPaths(): void {
    const receivers = this.discovery
      .getProviders()
      .flatMap(({ token, instance }) => (token === HOOK_RECEIVER ? [instance as HookHttpHandler] : []));
    const { path } = this.module.http;
    if (receivers.filter((receiver) => receiver.module.http.path === path).length > 1)
      throw new WorkflowConfigurationError(`two WorkflowModules have endpoints under "${path}": give each an http.path of its own`);
  }
}

function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  // A name such as "constructor" is also an inherited property of the object. Only own properties
  // are headers that were sent.
  const value = Object.hasOwn(headers, name) ? headers[name] : undefined;
  return Array.isArray(value) ? value.join(', ') : value;
}

function pickHeaders(headers: IncomingHttpHeaders, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = headerOf(headers, name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
