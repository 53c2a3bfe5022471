import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { ShownEntry, ShownHistory } from '../../api/run.js';
import { ApiError, get, runPath, type Wire } from '../api.js';
import { Failure, Text } from '../parts/basics.js';
import { visible } from '../text.js';
import { absolute, duration } from '../times.js';

type Entry = Wire<ShownEntry>;

const BAD = /_failed$|^(?:worker_lost|blocked|terminated|timed_out|payload_dropped)$/;

/** Everything that happened to a run, oldest first. */
export function History({ runId, page }: { readonly runId: string; readonly page: Wire<ShownHistory> }): JSX.Element {
  const [more, setMore] = useState<readonly Entry[]>([]);
  const [cursor, setCursor] = useState<string>();
  const [from, setFrom] = useState(page.cursor);
  const [error, setError] = useState<ApiError>();
  // Further pages follow the first one only as long as the first one ends at the same place.
  if (from !== page.cursor) {
    setFrom(page.cursor);
    setMore([]);
    setCursor(undefined);
  }
  const next = more.length === 0 ? page.cursor : cursor;
  const load = async (): Promise<void> => {
    try {
      const loaded = await get<ShownHistory>(runPath(runId, `/history?limit=500&cursor=${encodeURIComponent(next!)}`));
      setMore([...more, ...loaded.entries]);
      setCursor(loaded.cursor);
      setError(undefined);
    } catch (failure) {
      setError(failure instanceof ApiError ? failure : new ApiError(0, String(failure)));
    }
  };
  return (
    <>
      <ol class="history" tabIndex={0} aria-label="History">
        {[...page.entries, ...more].map((entry, index) => (
          <HistoryRow key={index} entry={entry} />
        ))}
      </ol>
      {error && <Failure error={error} />}
      {next !== undefined && (
        <button type="button" class="link" onClick={() => void load()}>
          Show later entries
        </button>
      )}
    </>
  );
}

function HistoryRow({ entry }: { readonly entry: Entry }): JSX.Element {
  const { kind, at, stepKey, name, attempt, startedAt, error, data } = entry;
  const tone = BAD.test(kind) ? 'bad' : kind.endsWith('_completed') ? 'good' : 'plain';
  const details = [
    ...(attempt !== undefined && attempt > 1 ? [`attempt ${attempt}`] : []),
    ...(startedAt !== undefined && kind !== 'wait_open' ? [duration(Date.parse(at) - Date.parse(startedAt))] : []),
  ];
  return (
    <li data-kind={kind} data-tone={tone}>
      <time dateTime={at} title={at} class="mono small muted">
        {absolute(at).slice(11)}
      </time>
      <div>
        <span class="history-kind">{kind.replaceAll('_', ' ')}</span>{' '}
        {stepKey !== undefined && (
          <b>
            <Text value={stepKey} length={60} />
          </b>
        )}{' '}
        {name !== undefined && <Text value={name} length={60} />} <span class="muted small">{details.join(', ')}</span>
        {error && (
          <div class="small bad">
            {visible(error.name)}: {visible(error.message.slice(0, 300))}
          </div>
        )}
        {data.state === 'value' && kind !== 'wait_open' && <div class="small muted">{visible(detailText(data.text))}</div>}
      </div>
    </li>
  );
}

/** Shows details such as the actor and the reason as words. */
function detailText(text: string): string {
  try {
    const details = JSON.parse(text) as Readonly<Record<string, unknown>>;
    return Object.entries(details)
      .filter(([, value]) => typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      .map(([key, value]) => `${key}: ${String(value)}`)
      .join(' · ');
  } catch {
    return text;
  }
}
