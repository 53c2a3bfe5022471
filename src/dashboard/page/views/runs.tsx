import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { SearchPage } from '../../../client/queries/listing.js';
import type { RunCounts } from '../../api/runs.js';
import type { Wire } from '../api.js';
import { filterOf, hasFilter, STATUSES, withCondition, withoutCondition } from '../filters.js';
import { useKeys } from '../keys.js';
import { useOverview } from '../overview.js';
import { Empty, Failure, Skeleton, Status, Text, Time, useElapsed, ViewHead } from '../parts/basics.js';
import { Icon } from '../parts/icon.js';
import { useResource } from '../resource.js';
import { go, href } from '../router.js';
import { ROW, useRowKeys } from '../rows.js';
import { bounded, counted } from '../text.js';
import { duration } from '../times.js';
import { BulkDialog } from './bulk.js';
import { FilterChips, SearchField } from './search.js';

const PAGE = 50;
const EVERY_MS = 2_000;

type Run = Wire<SearchPage>['runs'][number];

/** The runs of a filter, newest first, with live updates. */
export function RunsView({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const [isBulkOpen, setBulkOpen] = useState(false);
  const { isReadOnly } = useOverview();
  const filter = filterOf(query);
  const cursor = query.get('cursor');
  const listed = new URLSearchParams([...filter, ['limit', String(PAGE)], ...(cursor === null ? [] : [['cursor', cursor]])]);
  const page = useResource<SearchPage>(`runs?${listed.toString()}`, EVERY_MS);
  const counts = useResource<RunCounts>(`counts?${filter.toString()}`, EVERY_MS * 2);
  const next = page.data?.cursor;
  const nextAddress = next === undefined ? undefined : href(['runs'], new URLSearchParams([...filter, ['cursor', next]]));
  useRowKeys();
  useKeys({
    n: nextAddress === undefined ? undefined : () => go(nextAddress),
    p: cursor === null ? undefined : () => history.back(),
  });
  return (
    <>
      <ViewHead title="Runs">
        <SearchField query={query} />
        {!isReadOnly && (
          <button type="button" disabled={!hasFilter(query)} title="Change all runs of the filter" onClick={() => setBulkOpen(true)}>
            Change all…
          </button>
        )}
      </ViewHead>
      <Tiles counts={counts.data} />
      <StatusFilter query={query} counts={counts.data} />
      <FilterChips query={query} />
      {page.error && <Failure error={page.error} retry={page.reload} />}
      {page.data ? <RunTable page={page.data} query={query} /> : !page.error && <Skeleton lines={10} />}
      {(cursor !== null || nextAddress !== undefined) && (
        <nav class="pager" aria-label="Pages">
          {cursor === null ? <span /> : <a href={href(['runs'], filter)}>Newest runs</a>}
          {nextAddress !== undefined && (
            <a class="button" href={nextAddress}>
              {page.data?.searchedTo === undefined ? 'Older runs' : 'Search older runs'} <Icon name="next" />
            </a>
          )}
        </nav>
      )}
      {isBulkOpen && (
        <BulkDialog
          filter={filter}
          close={() => {
            setBulkOpen(false);
            page.reload();
          }}
        />
      )}
    </>
  );
}

const TILES: readonly (readonly [key: keyof RunCounts['active'], label: string, query: string])[] = [
  ['running', 'Running', 'status=running'],
  ['pending', 'Due', 'status=pending'],
  ['failed', 'Failed in 24 h', 'status=failed&finishedAfter=24h'],
  ['blocked', 'Blocked', 'blocked=true'],
  ['paused', 'Paused', 'status=paused'],
];

function Tiles({ counts }: { readonly counts: Wire<RunCounts> | undefined }): JSX.Element {
  return (
    <ul class="tiles" aria-label="Runs that need a look">
      {TILES.map(([key, label, query]) => {
        const count = counts?.active[key];
        return (
          <li key={key}>
            <a class="tile" data-tile={key} data-zero={count === 0 ? '' : undefined} href={href(['runs'], new URLSearchParams(query))}>
              <b>{count === undefined ? '–' : bounded(count)}</b>
              <span>{label}</span>
            </a>
          </li>
        );
      })}
    </ul>
  );
}

function StatusFilter({ query, counts }: { readonly query: URLSearchParams; readonly counts: Wire<RunCounts> | undefined }): JSX.Element {
  const chosen = query.getAll('status');
  const scope =
    counts === undefined || counts.isComplete ? '' : `Counts are those of the newest ${counts.newest.toLocaleString('en-US')} runs.`;
  return (
    <div class="statuses" role="group" aria-label="Status" title={scope}>
      {STATUSES.map((status) => {
        const isChosen = chosen.includes(status);
        const next = isChosen ? withoutCondition(query, 'status', status) : withCondition(query, 'status', status);
        return (
          <button
            key={status}
            type="button"
            class="chip"
            aria-pressed={isChosen}
            data-status={status}
            onClick={() => go(href(['runs'], next))}
          >
            <span class="dot" aria-hidden="true" />
            {status}
            {counts && <span class="count">{(counts.counts[status] ?? 0).toLocaleString('en-US')}</span>}
          </button>
        );
      })}
      {scope !== '' && <span class="small muted">of the newest {counts!.newest.toLocaleString('en-US')}</span>}
    </div>
  );
}

function RunTable({ page, query }: { readonly page: Wire<SearchPage>; readonly query: URLSearchParams }): JSX.Element {
  if (page.runs.length === 0) {
    if (page.searchedTo !== undefined)
      return (
        <Empty title="No run matches so far">
          Runs since <Time at={page.searchedTo} /> were searched. Older runs were not.
        </Empty>
      );
    if (hasFilter(query))
      return (
        <Empty title="No run matches the filter">
          <a href={href(['runs'])}>Show all runs</a>
        </Empty>
      );
    return (
      <Empty title="There are no runs yet">
        Start one in your application: <code>await client.start(OrderWorkflow, order)</code>
      </Empty>
    );
  }
  return (
    <div class="scroll" role="region" aria-label="Runs" tabIndex={0}>
      <table class="table runs">
        <caption class="hidden">{counted(page.runs.length, 'run')}, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Status</th>
            <th scope="col">Workflow</th>
            <th scope="col">Run</th>
            <th scope="col">Detail</th>
            <th scope="col" class="number">
              Duration
            </th>
            <th scope="col" class="number">
              Created
            </th>
          </tr>
        </thead>
        <tbody>
          {page.runs.map((run) => (
            <RunRow key={run.runId} run={run} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function RunRow({ run }: { readonly run: Run }): JSX.Element {
  const elapsed = useElapsed(run.startedAt ?? run.createdAt, run.finishedAt);
  return (
    <tr data-run={run.runId}>
      <td>
        <Status status={run.status} isBlocked={run.blocked} />
      </td>
      <td>
        <Text value={run.name} length={48} /> <span class="muted small">v{run.version}</span>
      </td>
      <td>
        <a {...ROW} class="mono" href={href(['runs', run.runId])}>
          <Text value={run.runId} length={28} />
        </a>
      </td>
      <td class="detail">
        <Detail run={run} />
      </td>
      <td class="number">{duration(elapsed)}</td>
      <td class="number">
        <Time at={run.createdAt} />
      </td>
    </tr>
  );
}

function Detail({ run }: { readonly run: Run }): JSX.Element {
  return (
    <>
      {run.errorCode !== undefined && (
        <span class="bad">
          <Text value={run.errorCode} length={40} />
          {run.failedStep !== undefined && (
            <>
              {' in '}
              <Text value={run.failedStep} length={32} />
            </>
          )}{' '}
        </span>
      )}
      {run.cancelRequestedAt !== undefined && run.finishedAt === undefined && <span class="warn">asked to stop </span>}
      {run.wakeAt !== undefined && run.status === 'waiting' && (
        <span class="muted">
          until <Time at={run.wakeAt} />{' '}
        </span>
      )}
      {run.queue !== 'default' && (
        <a class="tag" href={href(['runs'], { queue: run.queue })} title="Queue">
          <Text value={run.queue} length={24} />
        </a>
      )}
      {Object.entries(run.tags).map(([key, value]) => (
        <a key={key} class="tag" href={href(['runs'], { tag: `${key}=${value}` })} title="Tag">
          <Text value={`${key}=${value}`} length={36} />
        </a>
      ))}
    </>
  );
}
