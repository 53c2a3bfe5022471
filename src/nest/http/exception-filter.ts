import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { throwError, type Observable } from 'rxjs';

import {
  ClosedError,
  DatabaseUnavailableError,
  EventNotFoundError,
  HookNotFoundError,
  InboxFullError,
  InvalidInputError,
  PayloadTooLargeError,
  QueryTimeoutError,
  ResultTimeoutError,
  RunAlreadyExistsError,
  RunEndedError,
  RunNotEndedError,
  RunNotFoundError,
  RunNotRetryableError,
  ScheduleAlreadyExistsError,
  ScheduleDeclaredError,
  ScheduleNotFoundError,
  SerializationError,
  StreamExpiredError,
  TransactionConflictError,
  WorkflowCancelledError,
  type WorkflowError,
} from '../../core/errors/index.js';

type ErrorClass = abstract new (...args: never[]) => WorkflowError;

export interface Answer {
  readonly status: number;
  /** Reason phrase of the HTTP status, which Nest's own exceptions contain in the same field. */
  readonly error: string;
  /**
   * Text of the answer, in place of the error's message, which is written for operators. (default:
   * the error's message)
   */
  readonly message?: string;
  /** Seconds after which the same request may succeed. */
  readonly retryAfter?: number;
}

const BAD_REQUEST: Answer = { status: 400, error: 'Bad Request' };
const NOT_FOUND: Answer = { status: 404, error: 'Not Found' };
const CONFLICT: Answer = { status: 409, error: 'Conflict' };
const UNAVAILABLE: Answer = { status: 503, error: 'Service Unavailable', message: 'try again later', retryAfter: 5 };

const ANSWERS: readonly (readonly [ErrorClass, Answer])[] = [
  [InvalidInputError, BAD_REQUEST],
  [SerializationError, BAD_REQUEST],
  [RunNotFoundError, NOT_FOUND],
  [HookNotFoundError, NOT_FOUND],
  [EventNotFoundError, NOT_FOUND],
  [ScheduleNotFoundError, NOT_FOUND],
  [RunAlreadyExistsError, CONFLICT],
  [RunEndedError, CONFLICT],
  [RunNotEndedError, CONFLICT],
  [RunNotRetryableError, CONFLICT],
  [ScheduleAlreadyExistsError, CONFLICT],
  [ScheduleDeclaredError, CONFLICT],
  [WorkflowCancelledError, CONFLICT],
  [TransactionConflictError, { ...CONFLICT, message: 'another request was faster: repeat this one' }],
  [StreamExpiredError, { status: 410, error: 'Gone' }],
  [PayloadTooLargeError, { status: 413, error: 'Payload Too Large' }],
  [InboxFullError, { status: 429, error: 'Too Many Requests', retryAfter: 5 }],
  [DatabaseUnavailableError, UNAVAILABLE],
  [QueryTimeoutError, UNAVAILABLE],
  [ClosedError, UNAVAILABLE],
  [ResultTimeoutError, { status: 504, error: 'Gateway Timeout', message: 'the run has not ended yet' }],
];

/** Methods that the responses of Express and Fastify have in common. */
interface HttpResponse {
  readonly headersSent?: boolean;
  readonly sent?: boolean;
  status(status: number): this;
  header(name: string, value: string): this;
  send(body: unknown): unknown;
}

/**
 * Answers HTTP requests whose handler throws an error of this package. The status is:
 *
 * - 400 for invalid input
 * - 404 for a run, a hook, an event or a schedule that does not exist
 * - 409 for a run or schedule that already exists, or a run that has ended
 * - 410 for a stream whose chunks retention has removed
 * - 413 for a payload that is too large
 * - 429 for a run whose inbox is full
 * - 503 for an unavailable database
 * - 504 for a result that did not arrive in time
 *
 * The body has the form of Nest's own exceptions, with the error's `code` and the `issues` that a
 * schema reported. The filter leaves every other error to Nest's other filters. For requests other
 * than HTTP, such as GraphQL and microservices, the filter passes the error itself on.
 *
 * @example
 * @Module({ providers: [{ provide: APP_FILTER, useClass: WorkflowExceptionFilter }] })
 * export class AppModule {}
 * // or, on a controller: @UseFilters(WorkflowExceptionFilter)
 */
@Catch(...ANSWERS.map(([type]) => type))
export class WorkflowExceptionFilter implements ExceptionFilter<WorkflowError> {
  catch(error: WorkflowError, host: ArgumentsHost): Observable<never> | void {
    switch (host.getType()) {
      case 'http':
        return answer(host.switchToHttp().getResponse<HttpResponse>(), error);
      case 'rpc':
        return throwError(() => error);
      case 'ws':
        return emit(host.switchToWs().getClient<Emitter>(), error);
      default:
        throw error;
    }
  }
}

function answer(response: HttpResponse, error: WorkflowError): void {
  // Answer nothing when the headers were already sent, for example because the handler failed in
  // the middle of a stream.
  if (response.headersSent || response.sent) return;
  const { status, error: words, message, retryAfter } = answerFor(error)!;
  if (retryAfter !== undefined) response.header('Retry-After', String(retryAfter));
  const issues = error instanceof InvalidInputError ? error.issues : [];
  response.status(status).send({
    statusCode: status,
    message: message ?? error.message,
    error: words,
    code: error.code,
    ...(issues.length === 0 ? {} : { issues: issues.map((issue) => ({ message: issue.message, path: issue.path.map(String) })) }),
  });
}

interface Emitter {
  emit(event: string, body: unknown): unknown;
}

/**
 * Emits the error to a WebSocket client, as Nest's own filter for gateways does. An error thrown
 * here would end the gateway's stream of messages.
 */
function emit(client: Emitter, error: WorkflowError): void {
  client.emit('exception', { status: 'error', message: answerFor(error)?.message ?? error.message, code: error.code });
}

/** Returns the HTTP status of an error of this package; undefined for other errors. */
export function answerFor(error: unknown): Answer | undefined {
  return ANSWERS.find(([type]) => error instanceof type)?.[1];
}
