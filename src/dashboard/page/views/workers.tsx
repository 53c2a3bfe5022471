import type { JSX } from 'preact';

import type { WorkflowHealth } from '../../../client/queries/health.js';
import type { ShownWorker } from '../../api/overview.js';
import type { Wire } from '../api.js';
import { Empty, Fact, Failure, Panel, Skeleton, Text, Time, ViewHead } from '../parts/basics.js';
import { useResource } from '../resource.js';
import { href } from '../router.js';
import { counted } from '../text.js';

/** The processes that execute runs, and the runs that no process can execute. */
export function WorkersView(): JSX.Element {
  const { data, error, reload } = useResource<{ workers: ShownWorker[] }>('workers', 3_000);
  const health = useResource<Pick<WorkflowHealth, 'unregistered' | 'unregisteredWaiting'>>('health', 5_000);
  const alone = [...(health.data?.unregistered ?? []), ...(health.data?.unregisteredWaiting ?? [])];
  return (
    <>
      <ViewHead title="Workers">{data && <span class="muted small">{counted(data.workers.length, 'process')}</span>}</ViewHead>
      {error && <Failure error={error} retry={reload} />}
      {alone.length > 0 && (
        <div class="notice failure" role="status">
          <div>
            <b>No living process can execute these runs:</b>
            <ul>
              {alone.map(({ queue, name, version, ...more }) => (
                <li key={`${queue} ${name} ${version} ${'due' in more}`}>
                  <a
                    href={href(
                      ['runs'],
                      new URLSearchParams([
                        ['name', name],
                        ['queue', queue],
                      ]),
                    )}
                  >
                    <Text value={name} length={48} /> v{version}
                  </a>{' '}
                  in queue <Text value={queue} length={32} />
                  {'due' in more && typeof more.due === 'number' ? `: ${counted(more.due, 'run')} due` : ': waiting runs'}
                </li>
              ))}
            </ul>
          </div>
        </div>
      )}
      {data ? <Workers workers={data.workers} /> : !error && <Skeleton />}
    </>
  );
}

function Workers({ workers }: { readonly workers: readonly Wire<ShownWorker>[] }): JSX.Element {
  if (workers.length === 0) return <Empty title="No process executes runs">Runs wait until an application with a worker is started.</Empty>;
  return (
    <div class="cards">
      {workers.map((worker) => (
        <Worker key={worker.id} worker={worker} />
      ))}
    </div>
  );
}

function Worker({ worker }: { readonly worker: Wire<ShownWorker> }): JSX.Element {
  const queues = new Map<string, string[]>();
  for (const { queue, name, version } of worker.serves) {
    if (version !== 0) queues.set(queue, [...(queues.get(queue) ?? []), `${name} v${version}`]);
  }
  // Most workers serve the same workflows from all of their queues.
  const groups = new Map<string, (readonly [queue: string, kinds: readonly string[]])[]>();
  for (const [queue, kinds] of queues) groups.set(kinds.join('\n'), [...(groups.get(kinds.join('\n')) ?? []), [queue, kinds]]);
  return (
    <Panel
      title={
        <>
          <Text value={worker.host} length={40} /> <span class="muted">pid {worker.pid}</span>
        </>
      }
      aside={
        <span class="status" data-status={worker.isExpired ? 'failed' : 'completed'}>
          {worker.isExpired ? 'expired' : 'alive'}
        </span>
      }
    >
      <dl class="facts">
        <Fact name="Runs">{worker.runs}</Fact>
        <Fact name="Deployment">
          <Text value={worker.deploymentId} length={40} />
        </Fact>
        <Fact name="Started">
          <Time at={worker.startedAt} />
        </Fact>
        <Fact name="Heartbeat">
          <Time at={worker.heartbeatAt} />
        </Fact>
        <Fact name="Session">{worker.id}</Fact>
      </dl>
      {[...groups.values()].map((members) => (
        <p key={members[0]![0]} class="small serves">
          {members.map(([queue]) => (
            <a key={queue} class="tag" href={href(['runs'], { queue })}>
              <Text value={queue} length={32} />
            </a>
          ))}
          {members[0]![1].map((kind) => (
            <span key={kind}>
              <Text value={kind} length={48} />{' '}
            </span>
          ))}
        </p>
      ))}
    </Panel>
  );
}
