import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { QueueDescription } from '../../../client/queues.js';
import type { QueueOptions } from '../../../core/queue-limits.js';
import { ApiError, post, segment, type Wire } from '../api.js';
import { ChangeDialog } from '../parts/change-dialog.js';
import { Field } from '../parts/dialog.js';

/** A queue as the API describes it. */
export type Queue = Wire<QueueDescription>;

const WORDS = {
  title: 'Change the limits?',
  confirm: 'Change the limits',
  about: 'The limits hold in all processes within a second, and stay when processes restart with other options.',
} as const;

/** Asks for the limits of a queue. Limits without a field stay as they are. */
export function LimitsDialog(props: { readonly queue: Queue; readonly close: () => void; readonly done: () => void }): JSX.Element {
  const { queue, close, done } = props;
  const { limits } = queue;
  const [isDeclared, setDeclared] = useState(false);
  const [places, setPlaces] = useState(textOf(limits.concurrency));
  const [perWorker, setPerWorker] = useState(textOf(limits.perWorker));
  const [perKey, setPerKey] = useState(textOf(limits.key?.concurrency));
  const [rate, setRate] = useState(textOf(limits.rateLimit?.limit));
  const [period, setPeriod] = useState(textOf(limits.rateLimit?.period));
  const changed = (): QueueOptions => {
    if ((rate === '') !== (period === '')) throw new ApiError(400, 'A rate needs a number of runs and a period.');
    const { concurrency: _places, perWorker: _perWorker, rateLimit, key, ...others } = limits;
    const { concurrency: _perKey, ...otherOfKey } = key ?? {};
    const keyed = { ...otherOfKey, ...limit('concurrency', perKey) };
    return {
      ...others,
      ...limit('concurrency', places),
      ...limit('perWorker', perWorker),
      ...(rate === '' ? {} : { rateLimit: { ...rateLimit, limit: Number(rate), period: periodOf(period) } }),
      ...(Object.keys(keyed).length === 0 ? {} : { key: keyed }),
    };
  };
  const act = async (reason: string): Promise<void> => {
    await post(`queues/${segment(queue.name)}/configure`, { limits: isDeclared ? 'declared' : changed(), reason });
    done();
  };
  return (
    <ChangeDialog words={WORDS} name={queue.name} act={act} close={close}>
      {queue.source === 'override' && (
        <label class="inline">
          <input type="checkbox" checked={isDeclared} onChange={(event) => setDeclared(event.currentTarget.checked)} />
          Return to the limits of the application
        </label>
      )}
      <fieldset class="fields" disabled={isDeclared}>
        <legend class="small muted">Empty for no limit</legend>
        <Field label="Runs at once" type="number" value={places} change={setPlaces} />
        <Field label="At once per worker" type="number" value={perWorker} change={setPerWorker} />
        <Field label="At once per key" type="number" value={perKey} change={setPerKey} />
        <Field label="Starts per period" type="number" value={rate} change={setRate} />
        <Field label="Length of the period" hint="Such as 1 minute" value={period} change={setPeriod} />
      </fieldset>
    </ChangeDialog>
  );
}

function textOf(value: number | string | undefined): string {
  return value === undefined ? '' : String(value);
}

function limit<Name extends string>(name: Name, text: string): Partial<Record<Name, number>> {
  return text === '' ? {} : ({ [name]: Number(text) } as Record<Name, number>);
}

/** Reads a period. A number alone is milliseconds. */
function periodOf(text: string): string | number {
  return /^\d+$/.test(text) ? Number(text) : text;
}
