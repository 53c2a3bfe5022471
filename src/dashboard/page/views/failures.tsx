import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { FailureGroup } from '../../../client/queries/listing.js';
import type { ShownFailures } from '../../api/overview.js';
import type { Wire } from '../api.js';
import { useOverview } from '../overview.js';
import { Empty, Failure, Skeleton, Text, Time, ViewHead } from '../parts/basics.js';
import { useResource } from '../resource.js';
import { go, href } from '../router.js';
import { ROW, useRowKeys } from '../rows.js';
import { counted } from '../text.js';
import { BulkDialog } from './bulk.js';

const PERIODS = ['1h', '24h', '7d', '30d'];
const GROUPINGS: readonly (readonly [value: string, label: string])[] = [
  ['workflow,errorCode,failedStep', 'Workflow, error and step'],
  ['workflow', 'Workflow'],
  ['errorCode', 'Error'],
  ['workflow,version,errorCode', 'Workflow, version and error'],
  ['hour,workflow', 'Hour and workflow'],
];

type Group = Wire<FailureGroup>;

/** Failed runs in groups, each of which can be retried. */
export function FailuresView({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const [retried, setRetried] = useState<URLSearchParams>();
  const since = query.get('since') ?? '24h';
  const by = query.get('by') ?? GROUPINGS[0]![0];
  const asked = new URLSearchParams([['since', since], ...by.split(',').map((each) => ['by', each])]);
  const { data, error, reload } = useResource<ShownFailures>(`failures?${asked.toString()}`, 5_000);
  useRowKeys();
  const change = (key: string, value: string): void => {
    const next = new URLSearchParams(query);
    next.set(key, value);
    go(href(['failures'], next));
  };
  return (
    <>
      <ViewHead title="Failures">
        <label class="inline">
          <span class="muted small">Since</span>
          <select value={since} onChange={(event) => change('since', event.currentTarget.value)}>
            {[...new Set([...PERIODS, since])].map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label class="inline">
          <span class="muted small">By</span>
          <select value={by} onChange={(event) => change('by', event.currentTarget.value)}>
            {GROUPINGS.map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
      </ViewHead>
      {error && <Failure error={error} retry={reload} />}
      {data?.isComplete === false && (
        <p class="notice">
          Only the newest {data.read.toLocaleString('en-US')} failures are shown, since <Time at={data.since} />.
        </p>
      )}
      {data ? <Groups groups={data.groups} by={by.split(',')} since={data.since} retry={setRetried} /> : !error && <Skeleton />}
      {retried && <BulkDialog filter={retried} close={() => (setRetried(undefined), reload())} />}
    </>
  );
}

function Groups(props: {
  readonly groups: readonly Group[];
  readonly by: readonly string[];
  readonly since: string;
  readonly retry: (filter: URLSearchParams) => void;
}): JSX.Element {
  const { groups, by, since, retry } = props;
  const { isReadOnly } = useOverview();
  if (groups.length === 0) return <Empty title="No run has failed">Nothing failed in this period.</Empty>;
  const most = Math.max(...groups.map(({ count }) => count));
  return (
    <ul class="groups">
      {groups.map((group) => {
        const filter = filterOf(group, by, since);
        return (
          <li key={keyOf(group)} class="group" data-group={group.errorCode ?? group.workflow}>
            <meter class="group-bar" min={0} max={most} value={group.count} aria-label={counted(group.count, 'run')} />
            <b class="group-count">{group.count.toLocaleString('en-US')}</b>
            <div class="group-what">
              <GroupName group={group} by={by} />
              <div class="small muted">
                first <Time at={group.firstAt} />, last <Time at={group.lastAt} /> · example{' '}
                <a class="mono" href={href(['runs', group.exampleRunId])}>
                  <Text value={group.exampleRunId} length={36} />
                </a>
              </div>
            </div>
            <div class="actions">
              <a {...ROW} class="button" href={href(['runs'], filter)}>
                Show
              </a>
              {!isReadOnly && (
                <button type="button" onClick={() => retry(filter)}>
                  Retry…
                </button>
              )}
            </div>
          </li>
        );
      })}
    </ul>
  );
}

function keyOf({ workflow, version, errorCode, failedStep, hour }: Group): string {
  return JSON.stringify([workflow, version, errorCode, failedStep, hour]);
}

function GroupName({ group, by }: { readonly group: Group; readonly by: readonly string[] }): JSX.Element {
  return (
    <div class="group-name">
      {by.includes('hour') && group.hour !== undefined && (
        <span>
          <Time at={group.hour} />{' '}
        </span>
      )}
      {group.workflow !== undefined && (
        <b>
          <Text value={group.workflow} length={48} />
        </b>
      )}{' '}
      {group.version !== undefined && <span class="muted">v{group.version} </span>}
      {by.includes('errorCode') && (
        <span class="bad">
          <Text value={group.errorCode ?? 'no error code'} length={60} />{' '}
        </span>
      )}
      {by.includes('failedStep') && (
        <span class="muted">
          {group.failedStep === undefined ? (
            'outside a step'
          ) : (
            <>
              in <Text value={group.failedStep} length={48} />
            </>
          )}
        </span>
      )}
    </div>
  );
}

/**
 * Returns the filter that selects exactly the runs of a group. Its `Before` is that of the last
 * failure, so that a later failure of the same kind is not changed unseen.
 */
function filterOf(group: Group, by: readonly string[], since: string): URLSearchParams {
  const filter = new URLSearchParams({ status: 'failed' });
  const values = { workflow: group.workflow, version: group.version, errorCode: group.errorCode, failedStep: group.failedStep };
  const names = { workflow: 'name', version: 'version', errorCode: 'errorCode', failedStep: 'failedStep' };
  for (const [key, value] of Object.entries(values) as [keyof typeof names, string | number | undefined][]) {
    // An empty text selects runs without an error code, or that failed outside a step.
    if (by.includes(key)) filter.append(names[key], String(value ?? ''));
  }
  const from = group.hour ?? since;
  filter.set('finishedAfter', from < since ? since : from);
  // Times of the API have milliseconds, and those of the database microseconds.
  filter.set('finishedBefore', new Date(Date.parse(group.lastAt) + 1).toISOString());
  return filter;
}
