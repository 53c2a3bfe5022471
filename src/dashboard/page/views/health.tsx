import type { ComponentChildren, JSX } from 'preact';

import type { ShownHealth } from '../../api/overview.js';
import type { Wire } from '../api.js';
import { Failure, Panel, Skeleton, Text, Time, ViewHead } from '../parts/basics.js';
import { useResource } from '../resource.js';
import { href } from '../router.js';
import { bounded, counted, visible } from '../text.js';
import { duration } from '../times.js';

type Health = Wire<ShownHealth>;

/** Health of the module, as the process sees it that serves the page. */
export function HealthView(): JSX.Element {
  const { data, error, reload } = useResource<ShownHealth>('health', 3_000);
  return (
    <>
      <ViewHead title="Health" />
      {error && <Failure error={error} retry={reload} />}
      {data ? <Checks health={data} /> : !error && <Skeleton />}
    </>
  );
}

function Checks({ health }: { readonly health: Health }): JSX.Element {
  const { database, worker, directConnection, readReplica } = health;
  return (
    <>
      <div class="cards">
        <Check title="Database" isGood={database.isReachable}>
          {database.isReachable ? `answers in ${duration(database.latencyMs)}` : visible(database.error.message)}
        </Check>
        <Check title="Worker of this process" isGood={worker.state === 'running'} isNeutral={worker.state === 'stopped'}>
          {worker.state === 'stopped'
            ? 'does not execute runs'
            : `${counted(worker.runs, 'run')}, ${worker.freeSlots} of ${worker.slots} slots free`}
        </Check>
        {directConnection && (
          <Check title="Direct connection" isGood={directConnection.isConnected}>
            {directConnection.isConnected
              ? 'receives notifications'
              : `polling instead: ${visible(directConnection.error?.message ?? 'not connected')}`}
          </Check>
        )}
        {readReplica && (
          <Check title="Read replica" isGood={readReplica.isInUse}>
            {readReplica.isInUse ? `${duration(readReplica.lagMs ?? 0)} behind` : visible(readReplica.error.message)}
          </Check>
        )}
        <Check title="Oldest due run" isGood={health.oldestDueAt === undefined} isNeutral={health.oldestDueAt !== undefined}>
          {health.oldestDueAt === undefined ? (
            'no run waits for a worker'
          ) : (
            <>
              became due <Time at={health.oldestDueAt} />
            </>
          )}
        </Check>
      </div>
      <Kinds
        title="Backlog"
        about="Due runs that no worker has claimed"
        rows={health.backlog.map((each) => [each, `${bounded(each.due)} due`, each.oldestDueAt])}
      />
      <Kinds
        title="Without a worker"
        about="No living process can execute these runs"
        rows={[
          ...health.unregistered.map((each): KindRow => [each, `${bounded(each.due)} due`, each.oldestDueAt]),
          ...health.unregisteredWaiting.map((each): KindRow => [each, 'waiting', undefined]),
        ]}
      />
      <Kinds
        title="Blocked"
        about="These runs wait for a deployment whose code fits their history"
        rows={health.blocked.map((each) => [each, `${bounded(each.blocked)} blocked`, undefined])}
      />
      <Kinds
        title="Suspects"
        about="Workers died twice or more while they executed these runs"
        rows={health.suspects.map((each) => [each, `${bounded(each.suspects)} runs, ${each.mostLosses} crashes`, undefined])}
      />
      {worker.unwritable.length > 0 && (
        <Panel title="Runs that the database refuses to change">
          <ul class="pad">
            {worker.unwritable.map(({ runId, since, error }) => (
              <li key={runId}>
                <a class="mono" href={href(['runs', runId])}>
                  <Text value={runId} length={48} />
                </a>{' '}
                since <Time at={since} />: {visible(error.message)}
              </li>
            ))}
          </ul>
        </Panel>
      )}
    </>
  );
}

function Check(props: {
  readonly title: string;
  readonly isGood: boolean;
  readonly isNeutral?: boolean;
  readonly children: ComponentChildren;
}): JSX.Element {
  const state = props.isGood ? 'completed' : props.isNeutral ? 'pending' : 'failed';
  return (
    <section class="panel check" data-check={props.title} data-state={state}>
      <h2>
        <span class="dot" data-status={state} aria-hidden="true" /> {props.title}
      </h2>
      <p>{props.children}</p>
    </section>
  );
}

type KindRow = readonly [
  kind: { readonly queue: string; readonly name: string; readonly version: number },
  count: string,
  since: string | undefined,
];

function Kinds({
  title,
  about,
  rows,
}: {
  readonly title: string;
  readonly about: string;
  readonly rows: readonly KindRow[];
}): JSX.Element | null {
  if (rows.length === 0) return null;
  return (
    <Panel title={title} aside={<span class="muted small">{about}</span>}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Workflow</th>
            <th scope="col">Queue</th>
            <th scope="col">Runs</th>
            <th scope="col" class="number">
              Since
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([{ queue, name, version }, count, since]) => (
            <tr key={`${queue} ${name} ${version} ${count}`}>
              <td>
                <a
                  href={href(
                    ['runs'],
                    new URLSearchParams([
                      ['name', name],
                      ['queue', queue],
                    ]),
                  )}
                >
                  <Text value={name} length={48} />
                </a>{' '}
                <span class="muted small">{version === 0 ? 'any version' : `v${version}`}</span>
              </td>
              <td>
                <Text value={queue} length={32} />
              </td>
              <td>{count}</td>
              <td class="number">
                <Time at={since} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}
