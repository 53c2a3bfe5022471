import type { JSX } from 'preact';

import type { WorldRunPage } from '../../../client/queries/world-runs.js';
import type { Wire } from '../api.js';
import { Empty, Failure, Skeleton, Status, Text, Time, ViewHead } from '../parts/basics.js';
import { Icon } from '../parts/icon.js';
import { useResource } from '../resource.js';
import { go, href } from '../router.js';
import { useRowKeys } from '../rows.js';
import { duration } from '../times.js';

const PAGE = 50;
const STATUSES = ['pending', 'running', 'completed', 'failed', 'cancelled'] as const;

/** Runs of the Workflow DevKit, which the dashboard cannot change. */
export function WorldView({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const filter = new URLSearchParams([...query].filter(([name]) => name === 'status' || name === 'workflowName'));
  const cursor = query.get('cursor');
  const asked = new URLSearchParams([...filter, ['limit', String(PAGE)], ...(cursor === null ? [] : [['cursor', cursor]])]);
  const { data, error, reload } = useResource<WorldRunPage>(`world?${asked.toString()}`, 3_000);
  const next = data?.cursor ?? undefined;
  const choose = (status: string): void => {
    const chosen = new URLSearchParams(filter);
    if (status === '') chosen.delete('status');
    else chosen.set('status', status);
    go(href(['world'], chosen));
  };
  useRowKeys();
  return (
    <>
      <ViewHead title="Workflow DevKit">
        <label class="inline">
          <span class="muted small">Status</span>
          <select value={filter.get('status') ?? ''} onChange={(event) => choose(event.currentTarget.value)}>
            <option value="">all</option>
            {STATUSES.map((status) => (
              <option key={status}>{status}</option>
            ))}
          </select>
        </label>
        {filter.has('workflowName') && <a href={href(['world'])}>Show all workflows</a>}
      </ViewHead>
      {error && <Failure error={error} retry={reload} />}
      {data ? <WorldRuns page={data} /> : !error && <Skeleton />}
      {(cursor !== null || next !== undefined) && (
        <nav class="pager" aria-label="Pages">
          {cursor === null ? <span /> : <a href={href(['world'], filter)}>Newest runs</a>}
          {next !== undefined && (
            <a class="button" href={href(['world'], new URLSearchParams([...filter, ['cursor', next]]))}>
              Older runs <Icon name="next" />
            </a>
          )}
        </nav>
      )}
    </>
  );
}

function WorldRuns({ page }: { readonly page: Wire<WorldRunPage> }): JSX.Element {
  if (page.runs.length === 0) return <Empty title="No run of the Workflow DevKit">Its runs are listed here, read-only.</Empty>;
  return (
    <div class="scroll" role="region" aria-label="Runs of the Workflow DevKit" tabIndex={0}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Status</th>
            <th scope="col">Workflow</th>
            <th scope="col">Run</th>
            <th scope="col">Deployment</th>
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
            <tr key={run.runId} data-world-run={run.runId}>
              <td>
                <Status status={run.status} />
              </td>
              <td>
                <a href={href(['world'], { workflowName: run.workflowName })} data-row="">
                  <Text value={run.workflowName} length={60} />
                </a>
                {run.errorCode !== null && (
                  <div class="small bad">
                    <Text value={run.errorCode} length={60} />
                  </div>
                )}
              </td>
              <td class="mono">
                <Text value={run.runId} length={40} />
              </td>
              <td class="small">
                <Text value={run.deploymentId} length={32} />
              </td>
              <td class="number">
                {run.startedAt !== null && run.completedAt !== null
                  ? duration(Date.parse(run.completedAt) - Date.parse(run.startedAt))
                  : '–'}
              </td>
              <td class="number">
                <Time at={run.createdAt} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
