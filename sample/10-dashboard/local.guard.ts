import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';

interface GuardedRequest {
  readonly socket: { readonly remoteAddress?: string };
  user?: string;
}

/**
 * Admits requests from this machine. An application asks its own sign-in instead, and sets `user`
 * to the name of the person, which the histories of runs show.
 */
@Injectable()
export class LocalGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<GuardedRequest>();
    request.user = 'ann';
    return ['127.0.0.1', '::1', '::ffff:127.0.0.1'].includes(request.socket.remoteAddress ?? '');
  }
}
