import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { QueueDescription } from '../../../client/queues.js';
import { post, segment } from '../api.js';
import { useOverview } from '../overview.js';
import { Empty, Failure, Skeleton, Status, Text, Time, ViewHead } from '../parts/basics.js';
import { ChangeDialog, type ChangeWords } from '../parts/change-dialog.js';
import { useResource } from '../resource.js';
import { href } from '../router.js';
import { ROW, useRowKeys } from '../rows.js';
import { bounded } from '../text.js';
import { duration } from '../times.js';
import { LimitsDialog, type Queue } from './limits.js';

type QueueAction = 'pause' | 'resume' | 'clear' | 'configure';

/** Queues with limits, with their depth. */
export function QueuesView(): JSX.Element {
  const { data, error, reload } = useResource<{ queues: QueueDescription[] }>('queues', 2_000);
  const [asked, setAsked] = useState<{ readonly action: QueueAction; readonly queue: Queue }>();
  useRowKeys();
  return (
    <>
      <ViewHead title="Queues" />
      {error && <Failure error={error} retry={reload} />}
      {data ? <QueueTable queues={data.queues} ask={(action, queue) => setAsked({ action, queue })} /> : !error && <Skeleton />}
      {asked?.action === 'configure' && <LimitsDialog queue={asked.queue} close={() => setAsked(undefined)} done={reload} />}
      {asked && asked.action !== 'configure' && (
        <QueueDialog action={asked.action} name={asked.queue.name} close={() => setAsked(undefined)} done={reload} />
      )}
    </>
  );
}

function QueueTable(props: { readonly queues: readonly Queue[]; readonly ask: (action: QueueAction, queue: Queue) => void }): JSX.Element {
  const { queues, ask } = props;
  const { isReadOnly } = useOverview();
  if (queues.length === 0)
    return (
      <Empty title="No queue has limits">
        Runs of queues without limits start as soon as a worker has room. The option <code>queues</code> sets limits.
      </Empty>
    );
  return (
    <div class="scroll" role="region" aria-label="Queues" tabIndex={0}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Queue</th>
            <th scope="col">State</th>
            <th scope="col">Limits</th>
            <th scope="col" class="number">
              Waiting
            </th>
            <th scope="col" class="number">
              Oldest
            </th>
            <th scope="col" class="number">
              Places
            </th>
            {!isReadOnly && <th scope="col">Change</th>}
          </tr>
        </thead>
        <tbody>
          {queues.map((queue) => (
            <tr key={queue.name} data-queue={queue.name}>
              <td>
                <a {...ROW} href={href(['runs'], { queue: queue.name })}>
                  <Text value={queue.name} length={48} />
                </a>
              </td>
              <td>
                <Status status={queue.paused ? 'paused' : 'open'} />
              </td>
              <td class="small">
                {limitsOf(queue).map((limit) => (
                  <span key={limit} class="tag">
                    {limit}
                  </span>
                ))}
                {queue.source === 'override' && <span class="muted"> override</span>}
              </td>
              <td class="number">{bounded(queue.waiting, 100_000)}</td>
              <td class="number">
                <Time at={queue.oldestSince} />
              </td>
              <td class="number">
                {queue.places}
                {queue.limits.concurrency !== undefined && <span class="muted"> of {queue.limits.concurrency}</span>}
              </td>
              {!isReadOnly && (
                <td>
                  <div class="actions">
                    <button type="button" onClick={() => ask(queue.paused ? 'resume' : 'pause', queue)}>
                      {queue.paused ? 'Resume…' : 'Pause…'}
                    </button>
                    <button type="button" onClick={() => ask('configure', queue)}>
                      Limits…
                    </button>
                    <button type="button" class="danger-quiet" disabled={queue.waiting === 0} onClick={() => ask('clear', queue)}>
                      Clear…
                    </button>
                  </div>
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function limitsOf({ limits }: Queue): string[] {
  const rate = (given: { limit: number; period: string | number } | undefined): string[] =>
    given === undefined ? [] : [`${given.limit} per ${typeof given.period === 'number' ? duration(given.period) : given.period}`];
  return [
    ...(limits.concurrency === undefined ? [] : [`${limits.concurrency} at once`]),
    ...(limits.perWorker === undefined ? [] : [`${limits.perWorker} per worker`]),
    ...rate(limits.rateLimit),
    ...(limits.key?.concurrency === undefined ? [] : [`${limits.key.concurrency} per key`]),
    ...rate(limits.key?.rateLimit).map((text) => `${text}, each key`),
  ];
}

type SimpleAction = Exclude<QueueAction, 'configure'>;

const WORDS: Readonly<Record<SimpleAction, ChangeWords>> = {
  pause: {
    title: 'Pause the queue?',
    confirm: 'Pause the queue',
    about: 'The queue admits no run. Runs that are executing continue.',
  },
  resume: { title: 'Resume the queue?', confirm: 'Resume the queue', about: 'The queue admits runs again.' },
  clear: {
    title: 'Clear the queue?',
    confirm: 'Cancel the waiting runs',
    about: 'All runs that wait for a place are cancelled.',
    isDangerous: true,
  },
};

function QueueDialog(props: {
  readonly action: SimpleAction;
  readonly name: string;
  readonly close: () => void;
  readonly done: () => void;
}): JSX.Element {
  const { action, name, close, done } = props;
  const act = async (reason: string): Promise<void> => {
    await post(`queues/${segment(name)}/${action}`, { reason });
    done();
  };
  const hint = action === 'clear' ? { reasonHint: 'Shown in the history of each run' } : {};
  return <ChangeDialog words={WORDS[action]} name={name} {...hint} act={act} close={close} />;
}
