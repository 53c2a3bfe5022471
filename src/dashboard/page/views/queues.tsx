import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { QueueDescription } from '../../../client/queues.js';
import { post, type Wire } from '../api.js';
import { useOverview } from '../overview.js';
import { Empty, Failure, Skeleton, Status, Text, Time, ViewHead } from '../parts/basics.js';
import { AskDialog, Field } from '../parts/dialog.js';
import { useResource } from '../resource.js';
import { href } from '../router.js';
import { ROW, useRowKeys } from '../rows.js';
import { bounded } from '../text.js';
import { duration } from '../times.js';

type Queue = Wire<QueueDescription>;
type QueueAction = 'pause' | 'resume' | 'clear';

/** Queues with limits, with their depth. */
export function QueuesView(): JSX.Element {
  const { data, error, reload } = useResource<{ queues: QueueDescription[] }>('queues', 2_000);
  const [asked, setAsked] = useState<{ readonly action: QueueAction; readonly name: string }>();
  useRowKeys();
  return (
    <>
      <ViewHead title="Queues" />
      {error && <Failure error={error} retry={reload} />}
      {data ? <QueueTable queues={data.queues} ask={(action, name) => setAsked({ action, name })} /> : !error && <Skeleton />}
      {asked && <QueueDialog {...asked} close={() => setAsked(undefined)} done={reload} />}
    </>
  );
}

function QueueTable(props: { readonly queues: readonly Queue[]; readonly ask: (action: QueueAction, name: string) => void }): JSX.Element {
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
                    <button type="button" onClick={() => ask(queue.paused ? 'resume' : 'pause', queue.name)}>
                      {queue.paused ? 'Resume…' : 'Pause…'}
                    </button>
                    <button type="button" class="danger-quiet" disabled={queue.waiting === 0} onClick={() => ask('clear', queue.name)}>
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

const WORDS: Readonly<Record<QueueAction, readonly [title: string, confirm: string, about: string]>> = {
  pause: ['Pause the queue?', 'Pause the queue', 'The queue admits no run. Runs that are executing continue.'],
  resume: ['Resume the queue?', 'Resume the queue', 'The queue admits runs again.'],
  clear: ['Clear the queue?', 'Cancel the waiting runs', 'All runs that wait for a place are cancelled.'],
};

function QueueDialog(props: {
  readonly action: QueueAction;
  readonly name: string;
  readonly close: () => void;
  readonly done: () => void;
}): JSX.Element {
  const { action, name, close, done } = props;
  const [title, confirm, about] = WORDS[action];
  const [reason, setReason] = useState('');
  const act = async (): Promise<void> => {
    await post(`queues/${encodeURIComponent(name)}/${action}`, action === 'clear' ? { reason } : {});
    done();
  };
  return (
    <AskDialog title={title} confirm={confirm} isDangerous={action === 'clear'} act={act} close={close}>
      <p>{about}</p>
      <p class="mono">
        <Text value={name} />
      </p>
      {action === 'clear' && <Field label="Reason" value={reason} change={setReason} maxLength={255} />}
    </AskDialog>
  );
}
