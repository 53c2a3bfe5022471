import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { throwError, type Observable } from 'rxjs';

import {
  ClosedError,
  DatabaseUnavailableError,
  HookNotFoundError,
  InboxFullError,
  InvalidInputError,
  PayloadTooLargeError,
  QueryTimeoutError,
  ResultTimeoutError,
  RunAlreadyExistsError,
  RunEndedError,
  RunNotFoundError,
  RunNotRetryableError,
  SerializationError,
  TransactionConflictError,
  WorkflowCancelledError,
  type WorkflowError,
} from '../core/errors/index.js';

type ErrorClass = abstract new (...args: never[]) => WorkflowError;

interface Answer {
  readonly status: number;
  /** The status in words, as Nest's own exceptions say it. */
  readonly error: string;
  /** Said instead of the error's own message, which is for those who run the application. */
  readonly message?: string;
  /** After how many seconds the same request may succeed. */
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
  [RunAlreadyExistsError, CONFLICT],
  [RunEndedError, CONFLICT],
  [RunNotRetryableError, CONFLICT],
  [WorkflowCancelledError, CONFLICT],
  [TransactionConflictError, { ...CONFLICT, message: 'another request came between: repeat this one' }],
  [PayloadTooLargeError, { status: 413, error: 'Payload Too Large' }],
  [InboxFullError, { status: 429, error: 'Too Many Requests', retryAfter: 5 }],
  [DatabaseUnavailableError, UNAVAILABLE],
  [QueryTimeoutError, UNAVAILABLE],
  [ClosedError, UNAVAILABLE],
  [ResultTimeoutError, { status: 504, error: 'Gateway Timeout', message: 'the run has not ended yet' }],
];

/** What the responses of Express and of Fastify have in common. */
interface HttpResponse {
  readonly headersSent?: boolean;
  readonly sent?: boolean;
  status(status: number): this;
  header(name: string, value: string): this;
  send(body: unknown): unknown;
}

/**
 * Answers HTTP requests whose handler throws an error of this package: 404 for a run that does not
 * exist, 409 for a run that exists already or has ended, 400 for input that is not usable, 413 for a
 * payload that is too large, 429 for a run whose inbox is full, 504 for a result that did not come in
 * time, 503 for a database that is away. The body is that of Nest's own exceptions with the error's `code`, and the `issues` of a schema.
 *
 * Every other error goes to the next filter. So does one of a request that is not HTTP: GraphQL and microservices get the error itself.
 *
 * @example
 * @Module({ providers: [{ provide: APP_FILTER, useClass: WorkflowExceptionFilter }] })   // or @UseFilters(WorkflowExceptionFilter)
 * export class AppModule {}
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
  // Too late to say anything, as in the middle of a stream.
  if (response.headersSent || response.sent) return;
  const { status, error: words, message, retryAfter } = answerTo(error);
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

/** As Nest's own filter for gateways does: an error that is thrown here would end the gateway's stream of messages. */
function emit(client: Emitter, error: WorkflowError): void {
  client.emit('exception', { status: 'error', message: answerTo(error).message ?? error.message, code: error.code });
}

function answerTo(error: WorkflowError): Answer {
  return ANSWERS.find(([type]) => error instanceof type)![1];
}
