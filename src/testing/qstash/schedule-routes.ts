import { badRequest } from './api-error.js';
import type { EmulatorServices } from './emulator-services.js';
import { parsePublication } from './publication.js';
import { type ApiRequest, type ApiResponse, type Route, route, routeToDestination } from './router.js';

export function scheduleRoutes({ schedules, quota, clock, driver }: EmulatorServices): Route[] {
  const create = ({ params, headers, body }: ApiRequest): ApiResponse => {
    const { 'upstash-cron': cron, 'upstash-schedule-id': id } = headers;
    if (cron === undefined) throw badRequest('Upstash-Cron is missing');
    const publication = parsePublication({ url: params[0]!, headers, body });
    quota.check(publication);
    const scheduleId = schedules.upsert(id, cron, publication, clock.now());
    driver.changed();
    return { status: 200, body: { scheduleId } };
  };
  const setPaused =
    (state: 'paused' | 'running') =>
    ({ params }: ApiRequest): ApiResponse => {
      schedules.setPaused(params[0]!, state, clock.now());
      driver.changed();
      return { status: 200 };
    };
  return [
    ...route('PATCH POST', '/v2/schedules/:/pause', setPaused('paused')),
    ...route('PATCH POST', '/v2/schedules/:/resume', setPaused('running')),
    ...routeToDestination('POST', '/v2/schedules', create),
    ...route('GET', '/v2/schedules', () => ({ status: 200, body: schedules.list() })),
    ...route('GET', '/v2/schedules/:', ({ params }) => ({ status: 200, body: schedules.view(params[0]!) })),
    ...route('DELETE', '/v2/schedules/:', ({ params }) => {
      schedules.delete(params[0]!);
      return { status: 200 };
    }),
  ];
}
