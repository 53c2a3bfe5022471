import type { JSX } from 'preact';

import type { ShownRun } from '../../api/run.js';
import type { ShownError } from '../../api/shown.js';
import type { Wire } from '../api.js';
import { Copy, Fact, LongTime, Status, Text, Time, useElapsed, ViewHead } from '../parts/basics.js';
import { ErrorDetails } from '../parts/payload.js';
import { href } from '../router.js';
import { counted, visible } from '../text.js';
import { duration } from '../times.js';
import { ACTIONS, type ActionName } from './ask.js';

const ACTIVE: readonly ActionName[] = ['signal', 'pause', 'fork', 'cancel', 'terminate'];
const PAUSED: readonly ActionName[] = ['resume', 'signal', 'fork', 'cancel', 'terminate'];

function actionsOf(run: Wire<ShownRun>): readonly ActionName[] {
  if (run.status === 'failed') return ['retry', 'fork', 'delete'];
  if (run.finishedAt !== undefined) return ['fork', 'delete'];
  return run.status === 'paused' || run.blocked ? PAUSED : ACTIVE;
}

/**
 * The head of a run: its state, what it waits for, and its relations.
 *
 * @param ask opens the dialog of an action; undefined when nothing may be changed
 */
export function RunHead({
  run,
  ask,
}: {
  readonly run: Wire<ShownRun>;
  readonly ask: ((action: ActionName) => void) | undefined;
}): JSX.Element {
  const elapsed = useElapsed(run.startedAt ?? run.createdAt, run.finishedAt);
  return (
    <>
      <nav class="crumbs small" aria-label="Path">
        <a href={href(['runs'])}>Runs</a> /{' '}
        <a href={href(['runs'], { name: run.name })}>
          <Text value={run.name} length={48} />
        </a>
      </nav>
      <ViewHead title={visible(run.runId)}>
        <Copy text={run.runId} label="Copy the id of the run" />
        <Status status={run.status} isBlocked={run.blocked !== undefined} />
        {ask && (
          <div class="actions" role="group" aria-label="Actions">
            {actionsOf(run).map((action) => (
              <button key={action} type="button" class={ACTIONS[action].isDangerous ? 'danger-quiet' : ''} onClick={() => ask(action)}>
                {ACTIONS[action].label}…
              </button>
            ))}
          </div>
        )}
      </ViewHead>
      <WaitingFor run={run} />
      {run.error && <Cause error={run.error} />}
      <dl class="facts card">
        <Fact name="Workflow">
          <Text value={run.name} /> <span class="muted">v{run.version}</span>
        </Fact>
        <Fact name={run.finishedAt === undefined ? 'Running for' : 'Took'}>{duration(elapsed)}</Fact>
        <Fact name="Created">
          <LongTime at={run.createdAt} />
        </Fact>
        {run.finishedAt !== undefined && (
          <Fact name="Ended">
            <LongTime at={run.finishedAt} />
          </Fact>
        )}
        <Fact name="Queue">
          <a href={href(['runs'], { queue: run.queue })}>
            <Text value={run.queue} length={48} />
          </a>
        </Fact>
        {run.priority !== 0 && <Fact name="Priority">{run.priority}</Fact>}
        <Fact name="Claims">
          {run.epoch}
          {run.generation > 0 && `, retried ${run.generation}×`}
        </Fact>
        {run.deploymentId !== undefined && (
          <Fact name="Deployment">
            <Text value={run.deploymentId} length={40} />
          </Fact>
        )}
        {run.deadline !== undefined && run.finishedAt === undefined && (
          <Fact name="Deadline">
            <Time at={run.deadline} />
          </Fact>
        )}
        {run.traceId !== undefined && (
          <Fact name="Trace">
            <span class="mono">{run.traceId}</span> <Copy text={run.traceId} label="Copy the id of the trace" />
          </Fact>
        )}
        {Object.keys(run.tags).length > 0 && (
          <Fact name="Tags">
            {Object.entries(run.tags).map(([key, value]) => (
              <a key={key} class="tag" href={href(['runs'], { tag: `${key}=${value}` })}>
                <Text value={`${key}=${value}`} length={60} />
              </a>
            ))}
          </Fact>
        )}
        {run.schedule !== undefined && (
          <Fact name="Schedule">
            <a href={href(['runs'], { schedule: run.schedule.name })}>
              <Text value={run.schedule.name} length={48} />
            </a>
            , due <Time at={run.schedule.dueAt} />
          </Fact>
        )}
        <Relation name="Parent" runId={run.parent?.runId} />
        <Relation name="Continues" runId={run.continuedFrom} />
        <Relation name="Continued as" runId={run.continuedAs} />
        <Relation name="Fork of" runId={run.forkedFrom} />
        {run.children.length > 0 && (
          <Fact name={run.children.length === 100 ? 'Last 100 children' : 'Children'}>
            <a href={href(['runs'], { parentRunId: run.runId })}>Show in the list</a>
            <details class="children" open={run.children.length <= 4}>
              <summary>{counted(run.children.length, 'child run')}</summary>
              <ul>
                {run.children.map(({ runId, name, status }) => (
                  <li key={runId}>
                    <Status status={status} />{' '}
                    <a class="mono" href={href(['runs', runId])}>
                      <Text value={runId} length={48} />
                    </a>{' '}
                    <span class="muted">
                      <Text value={name} length={32} />
                    </span>
                  </li>
                ))}
              </ul>
            </details>
          </Fact>
        )}
      </dl>
    </>
  );
}

/** The first cause of an error in one line. The panel of the error has the rest. */
function Cause({ error }: { readonly error: Wire<ShownError> }): JSX.Element {
  let cause = error;
  while (cause.cause !== undefined) cause = cause.cause;
  return (
    <div class="notice failure">
      <span>
        <b>
          <Text value={cause.code ?? cause.name} length={60} />
        </b>{' '}
        <Text value={cause.message} length={240} />
        {error.stepKey !== undefined && (
          <span class="muted">
            {' · in '}
            <Text value={error.stepKey} length={60} />
          </span>
        )}
      </span>
    </div>
  );
}

function WaitingFor({ run }: { readonly run: Wire<ShownRun> }): JSX.Element | null {
  if (run.waitingFor.length === 0 && !run.blocked && run.cancelRequestedAt === undefined) return null;
  return (
    <div class="notice waiting" role="status">
      <ul>
        {run.cancelRequestedAt !== undefined && run.finishedAt === undefined && (
          <li>
            <b>Asked to stop</b> <Time at={run.cancelRequestedAt} />
          </li>
        )}
        {run.compensatingSince !== undefined && run.finishedAt === undefined && (
          <li>
            <b>Undoing its steps</b> <Time at={run.compensatingSince} />
          </li>
        )}
        {run.waitingFor.map((wait, index) => (
          <li key={index} data-wait={wait.kind}>
            <b>Waits</b> <bdi>{visible(wait.text)}</bdi>
            {wait.since !== undefined && (
              <span class="muted">
                {' · since '}
                <Time at={wait.since} />
              </span>
            )}
          </li>
        ))}
      </ul>
      {run.blocked?.reason && <ErrorDetails error={run.blocked.reason} />}
    </div>
  );
}

function Relation({ name, runId }: { readonly name: string; readonly runId: string | undefined }): JSX.Element | null {
  if (runId === undefined) return null;
  return (
    <Fact name={name}>
      <a class="mono" href={href(['runs', runId])}>
        <Text value={runId} length={48} />
      </a>
    </Fact>
  );
}
