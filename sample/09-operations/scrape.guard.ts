import { timingSafeEqual } from 'node:crypto';

import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';

export const SCRAPE_TOKEN = 'token-of-prometheus';

/** Lets only Prometheus read the metrics, which contain names of workflows and steps. */
@Injectable()
export class ScrapeGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<{ headers: { authorization?: string } }>();
    const given = Buffer.from(headers.authorization ?? '');
    const wanted = Buffer.from(`Bearer ${SCRAPE_TOKEN}`);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }
}
