import { ApiError, badRequest } from './api-error.js';
import { dueAtOf, type Receipt } from './publish-handler.js';
import type { EmulatorServices } from './emulator-services.js';
import { type Headers, parsePublication, type PublicationInput } from './publication.js';
import { type ApiRequest, type ApiResponse, type Route, route, routeToDestination } from './router.js';

/** Member of a batch, whose fields have not been checked. */
interface BatchMember {
  readonly destination?: unknown;
  readonly headers?: unknown;
  readonly body?: unknown;
  readonly queue?: unknown;
}

export function publishRoutes(services: EmulatorServices): Route[] {
  const publish = (request: ApiRequest, url: string, queue?: string): ApiResponse => {
    const receipts = (): Receipt[] => [
      publishOne(services, { url, queue, headers: request.headers, body: request.body }, request.callerIp),
    ];
    const [receipt] = withFaultsAndLimits(services, 1, receipts);
    return { status: receipt!.deduplicated ? 202 : 200, body: receipt };
  };
  return [
    ...routeToDestination('POST', '/v2/publish', (request) => publish(request, destinationOf(request.params[0]!))),
    ...routeToDestination('POST', '/v2/enqueue/:', (request) => publish(request, destinationOf(request.params[1]!), request.params[0])),
    ...route('POST', '/v2/batch', ({ body, callerIp }) => {
      const members = parseBatch(body);
      const receipts = (): object[] => members.map((member) => publishMember(services, member, callerIp));
      return { status: 200, body: withFaultsAndLimits(services, members.length, receipts) };
    }),
  ];
}

/** Decodes the URL of a destination, which some clients encode. */
function destinationOf(text: string): string {
  if (!/^https?%3A/i.test(text)) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Publishes the messages of one request, subject to the faults and limits of the emulator. */
function withFaultsAndLimits<T>(services: EmulatorServices, count: number, publish: () => T[]): T[] {
  const { faults, stats, quota, clock, driver } = services;
  if (faults.happens('failPublish')) {
    stats.count('rejected');
    throw new ApiError(500, 'internal server error');
  }
  quota.messages(count, clock.now());
  const results = publish();
  driver.changed();
  if (faults.happens('dropPublishAnswer')) throw new ApiError(500, 'internal server error');
  return results;
}

function publishOne({ quota, clock, publishHandler }: EmulatorServices, input: PublicationInput, callerIp: string): Receipt {
  const publication = parsePublication(input);
  const now = clock.now();
  quota.check({ body: publication.body, delayMs: dueAtOf(publication, now) - now });
  return publishHandler.accept(publication, callerIp);
}

function publishMember(services: EmulatorServices, member: BatchMember, callerIp: string): object {
  if (services.faults.happens('failMember')) {
    services.stats.count('rejected');
    return { error: 'internal server error' };
  }
  try {
    return publishOne(services, inputOf(member), callerIp);
  } catch (error) {
    if (error instanceof ApiError) return { error: error.message };
    throw error;
  }
}

function parseBatch(body: Buffer): BatchMember[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString());
  } catch {
    throw badRequest('the batch is not JSON');
  }
  if (!Array.isArray(parsed)) throw badRequest('the batch is not an array');
  return parsed.map((member: unknown) => (typeof member === 'object' && member !== null ? member : {}));
}

function inputOf({ destination, headers, body, queue }: BatchMember): PublicationInput {
  if (typeof destination !== 'string') throw badRequest('the destination is missing');
  const lowerCased: Record<string, string> = {};
  for (const [name, value] of Object.entries((headers ?? {}) as Headers)) lowerCased[name.toLowerCase()] = String(value);
  return {
    url: destination,
    headers: lowerCased,
    body: Buffer.from(typeof body === 'string' ? body : body === undefined || body === null ? '' : JSON.stringify(body)),
    queue: typeof queue === 'string' ? queue : undefined,
  };
}
