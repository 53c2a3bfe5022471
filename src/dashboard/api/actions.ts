import { InvalidInputError } from '../../core/errors/index.js';
import { defineSignal } from '../../core/signal.js';
import { auditOf, REASON, type Field, type Route, type RouteRequest } from './route.js';

/** Answer to a change of a run. */
export interface Done {
  /** Id of the run that was changed, or of the new run after a fork. */
  readonly runId: string;
}

const FROM_STEP: Readonly<Record<string, Field>> = {
  fromStep: { type: 'string', about: 'Key of the recorded step from which the run is executed again.' },
};

const PAYLOAD: Field = { about: 'Payload: any JSON value.' };

/** Creates the route of a change to one run. */
function change(
  name: string,
  summary: string,
  body: Readonly<Record<string, Field>>,
  act: (request: RouteRequest, runId: string) => Promise<string | void>,
): Route {
  return {
    method: 'POST',
    path: `runs/:runId/${name}`,
    summary,
    body,
    answer: async (request): Promise<Done> => {
      const runId = request.param('runId');
      return { runId: (await act(request, runId)) ?? runId };
    },
  };
}

export const actionRoutes: readonly Route[] = [
  change('cancel', 'Asks the run to stop, so that its code can clean up.', REASON, ({ client, ...request }, runId) =>
    // A transaction of the application must not decide about a change by an operator.
    client.cancel(runId, { ...auditOf(request), manager: 'none' }),
  ),
  change('terminate', 'Ends the run at once, without its code.', REASON, ({ client, ...request }, runId) =>
    client.terminate(runId, auditOf(request)),
  ),
  change('pause', 'Pauses the run until it is resumed.', REASON, ({ client, ...request }, runId) => client.pause(runId, auditOf(request))),
  change('resume', 'Resumes a paused or blocked run.', REASON, ({ client, ...request }, runId) => client.resume(runId, auditOf(request))),
  change('retry', 'Retries a failed run.', { ...REASON, ...FROM_STEP }, ({ client, ...request }, runId) =>
    client.retry(runId, { ...auditOf(request), ...fromStepOf(request) }),
  ),
  change('fork', 'Starts a new run with the same input.', { ...REASON, ...FROM_STEP }, async ({ client, ...request }, runId) => {
    const handle = await client.fork(runId, { ...auditOf(request), ...fromStepOf(request), follow: false });
    return handle.runId;
  }),
  change(
    'signal',
    'Sends a signal to the run.',
    {
      name: { type: 'string', about: 'Name of the signal. Required.' },
      payload: PAYLOAD,
      idempotencyKey: { type: 'string', about: 'Key that makes it safe to send the signal again.' },
      ...REASON,
    },
    ({ client, body }, runId) => {
      const signal = defineSignal<unknown>(textOf(body['name'], 'name'));
      const key = body['idempotencyKey'];
      return client.signal(runId, signal, body['payload'], {
        manager: 'none',
        ...(key === undefined ? {} : { idempotencyKey: textOf(key, 'idempotencyKey') }),
      });
    },
  ),
  change(
    'resolve-step',
    'Sets the result of a step, in place of the result of its body.',
    {
      ...REASON,
      stepKey: { type: 'string', about: 'Key of the step. Required.' },
      output: { about: 'Output of the step: any JSON value. Either this or `error`.' },
      error: { type: 'string', about: 'Message of the error with which the step fails.' },
    },
    ({ client, ...request }, runId) => {
      const { output, error, stepKey } = request.body;
      const hasOutput = 'output' in request.body;
      if (hasOutput === (error !== undefined)) throw new InvalidInputError('output', 'or error must be given, and not both');
      const result = hasOutput ? { output } : { error: new Error(textOf(error, 'error')) };
      return client.resolveStep(runId, textOf(stepKey, 'stepKey'), result, auditOf(request));
    },
  ),
  change('delete', 'Deletes an ended run with its chain and its ended children.', REASON, ({ client, ...request }, runId) =>
    client.delete(runId, auditOf(request)),
  ),
];

function fromStepOf({ body }: Pick<RouteRequest, 'body'>): { fromStep?: string } {
  const { fromStep } = body;
  return fromStep === undefined || fromStep === null ? {} : { fromStep: textOf(fromStep, 'fromStep') };
}

function textOf(value: unknown, name: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new InvalidInputError(name, 'must be a text');
}
