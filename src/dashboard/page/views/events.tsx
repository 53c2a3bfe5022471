import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { ShownEvent, ShownEventPage } from '../../api/events.js';
import { post, segment, type Wire } from '../api.js';
import { useOverview } from '../overview.js';
import { Empty, Failure, Skeleton, Text, Time, ViewHead } from '../parts/basics.js';
import { ChangeDialog } from '../parts/change-dialog.js';
import { Icon } from '../parts/icon.js';
import { Payload } from '../parts/payload.js';
import { useResource } from '../resource.js';
import { go, href } from '../router.js';
import { ROW, useRowKeys } from '../rows.js';

type Event = Wire<ShownEvent>;

const PAGE = 50;
const FIELDS = [
  ['event', 'Event'],
  ['key', 'Key'],
  ['id', 'Id'],
] as const;

/** Stored events, newest first, each of which can be dispatched again. */
export function EventsView({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const filter = new URLSearchParams([...query].filter(([name]) => FIELDS.some(([field]) => field === name)));
  const cursor = query.get('cursor');
  const asked = new URLSearchParams([...filter, ['limit', String(PAGE)], ...(cursor === null ? [] : [['cursor', cursor]])]);
  const { data, error, reload } = useResource<ShownEventPage>(`events?${asked.toString()}`, 3_000);
  const [redelivered, setRedelivered] = useState<Event>();
  useRowKeys();
  return (
    <>
      <ViewHead title="Events">
        <EventFilter key={filter.toString()} filter={filter} />
      </ViewHead>
      {error && <Failure error={error} retry={reload} />}
      {data ? <EventTable page={data} isFiltered={[...filter].length > 0} ask={setRedelivered} /> : !error && <Skeleton />}
      {(cursor !== null || data?.cursor !== undefined) && (
        <nav class="pager" aria-label="Pages">
          {cursor === null ? <span /> : <a href={href(['events'], filter)}>Newest events</a>}
          {data?.cursor !== undefined && (
            <a class="button" href={href(['events'], new URLSearchParams([...filter, ['cursor', data.cursor]]))}>
              Older events <Icon name="next" />
            </a>
          )}
        </nav>
      )}
      {redelivered && <RedeliverDialog event={redelivered} close={() => setRedelivered(undefined)} done={reload} />}
    </>
  );
}

function EventFilter({ filter }: { readonly filter: URLSearchParams }): JSX.Element {
  const [values, setValues] = useState<Readonly<Record<string, string>>>(Object.fromEntries(filter));
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    // A key needs the name of its event.
    const named = values['event'] ? FIELDS : FIELDS.filter(([name]) => name !== 'key');
    const given = named.flatMap(([name]) => (values[name] ? [[name, values[name]] as [string, string]] : []));
    go(href(['events'], new URLSearchParams(given)));
  };
  return (
    <form class="event-filter" role="search" onSubmit={submit}>
      {FIELDS.map(([name, label]) => (
        <input
          key={name}
          type="search"
          aria-label={label}
          placeholder={label}
          autocomplete="off"
          spellcheck={false}
          disabled={name === 'key' && !values['event']}
          value={values[name] ?? ''}
          onInput={(event) => setValues({ ...values, [name]: event.currentTarget.value })}
        />
      ))}
      <button type="submit">Filter</button>
    </form>
  );
}

function EventTable(props: {
  readonly page: Wire<ShownEventPage>;
  readonly isFiltered: boolean;
  readonly ask: (event: Event) => void;
}): JSX.Element {
  const { page, isFiltered, ask } = props;
  const { isReadOnly } = useOverview();
  if (page.events.length === 0)
    return isFiltered ? (
      <Empty title="No event matches">
        <a href={href(['events'])}>Show all events</a>
      </Empty>
    ) : (
      <Empty title="No event is stored">
        Your application emits one by <code>await client.emit(orderPaid, order)</code>.
      </Empty>
    );
  return (
    <div class="scroll" role="region" aria-label="Events" tabIndex={0}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Event</th>
            <th scope="col">Id</th>
            <th scope="col">Payload</th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Emitted
            </th>
            {!isReadOnly && <th scope="col">Change</th>}
          </tr>
        </thead>
        <tbody>
          {page.events.map((event) => (
            <EventRow key={`${event.name} ${event.id}`} event={event} ask={isReadOnly ? undefined : () => ask(event)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function EventRow({ event, ask }: { readonly event: Event; readonly ask: (() => void) | undefined }): JSX.Element {
  return (
    <tr data-event={event.id}>
      <td>
        <a {...ROW} href={href(['events'], { event: event.name })}>
          <Text value={event.name} length={48} />
        </a>
        {event.key !== undefined && (
          <div>
            <a class="tag" href={href(['events'], { event: event.name, key: event.key })} title="Key">
              <Text value={event.key} length={36} />
            </a>
          </div>
        )}
      </td>
      <td class="small">
        <span class="mono">
          <Text value={event.id} length={40} />
        </span>
        {event.emittedBy !== undefined && (
          <div class="muted">
            by{' '}
            <a class="mono" href={href(['runs', event.emittedBy])}>
              <Text value={event.emittedBy} length={36} />
            </a>
          </div>
        )}
      </td>
      <td>
        <details>
          <summary class="small">Show</summary>
          <Payload label="Payload" payload={event.payload} />
        </details>
      </td>
      <td>
        <span class="status" data-status={event.dispatchedAt === undefined ? 'pending' : 'completed'}>
          {event.dispatchedAt === undefined ? 'on its way' : 'delivered'}
        </span>
      </td>
      <td class="number">
        <Time at={event.emittedAt} />
      </td>
      {ask && (
        <td>
          <button type="button" onClick={ask}>
            Redeliver…
          </button>
        </td>
      )}
    </tr>
  );
}

const WORDS = {
  title: 'Deliver the event again?',
  confirm: 'Deliver the event',
  about: 'The event reaches its receivers of now. Runs that it has started, or that have received it, are left out.',
} as const;

function RedeliverDialog(props: { readonly event: Event; readonly close: () => void; readonly done: () => void }): JSX.Element {
  const { event, close, done } = props;
  const act = async (reason: string): Promise<void> => {
    await post(`events/${segment(event.name)}/${segment(event.id)}/redeliver`, { reason });
    done();
  };
  return <ChangeDialog words={WORDS} name={`${event.name} ${event.id}`} act={act} close={close} />;
}
