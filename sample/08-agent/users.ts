import { randomUUID } from 'node:crypto';

import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { InvalidInputError, RunNotFoundError, WorkflowClient } from 'nestjs-durable';

/** Request object, as in Express and Fastify. */
export interface UserRequest {
  readonly headers: { readonly cookie?: string };
  readonly params: Readonly<Record<string, string | undefined>>;
}

/** Returns the user that a cookie names. An EventSource sends cookies, and no other credentials. */
export function userOf({ headers }: UserRequest): string | undefined {
  return /(?:^|; )user=([\w-]{36})(?:;|$)/.exec(headers.cookie ?? '')?.[1];
}

/** Makes a cookie for a user without one. A real application would ask for a password. */
export function newUserCookie(): string {
  return `user=${randomUUID()}; Path=/; HttpOnly; SameSite=Strict`;
}

/** Lets users read only the streams of their own runs. */
@Injectable()
export class OwnRunsGuard implements CanActivate {
  constructor(private readonly client: WorkflowClient) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<UserRequest>();
    const user = userOf(request);
    if (user === undefined) return false;
    try {
      const { tags } = await this.client.describe(request.params['runId'] ?? '');
      return tags['user'] === user;
    } catch (error) {
      if (error instanceof RunNotFoundError || error instanceof InvalidInputError) return false;
      throw error;
    }
  }
}
