import type { JSX } from 'preact';

import type { ShownWorkflow, WorkflowList } from '../../api/overview.js';
import type { Wire } from '../api.js';
import { Empty, Failure, Skeleton, Text, Time, ViewHead } from '../parts/basics.js';
import { useResource } from '../resource.js';
import { href } from '../router.js';
import { ROW, useRowKeys } from '../rows.js';
import { duration } from '../times.js';

/** Workflows and versions, with their runs of the last hour. */
export function WorkflowsView(): JSX.Element {
  const { data, error, reload } = useResource<WorkflowList>('workflows', 5_000);
  useRowKeys();
  return (
    <>
      <ViewHead title="Workflows">
        <span class="muted small">
          {data?.isComplete === false ? `The newest ${data.read.toLocaleString('en-US')} runs of the last hour` : 'The last hour'}
        </span>
      </ViewHead>
      {error && <Failure error={error} retry={reload} />}
      {data ? <WorkflowTable workflows={data.workflows} /> : !error && <Skeleton />}
    </>
  );
}

function WorkflowTable({ workflows }: { readonly workflows: readonly Wire<ShownWorkflow>[] }): JSX.Element {
  if (workflows.length === 0)
    return <Empty title="No workflow ran in the last hour">And no process that executes workflows is alive.</Empty>;
  const most = Math.max(1, ...workflows.flatMap(({ parts }) => parts));
  return (
    <div class="scroll" role="region" aria-label="Workflows" tabIndex={0}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Workflow</th>
            <th scope="col">Starts</th>
            <th scope="col" class="number">
              Started
            </th>
            <th scope="col" class="number">
              Completed
            </th>
            <th scope="col" class="number">
              Failed
            </th>
            <th scope="col" class="number">
              p50
            </th>
            <th scope="col" class="number">
              p95
            </th>
            <th scope="col" class="number">
              Workers
            </th>
            <th scope="col" class="number">
              Last start
            </th>
          </tr>
        </thead>
        <tbody>
          {workflows.map((each) => (
            <tr key={`${each.name} ${each.version}`} data-workflow={each.name}>
              <td>
                <a
                  {...ROW}
                  href={href(
                    ['runs'],
                    new URLSearchParams([
                      ['name', each.name],
                      ['version', String(each.version)],
                    ]),
                  )}
                >
                  <Text value={each.name} length={60} />
                </a>{' '}
                <span class="muted small">v{each.version}</span>
              </td>
              <td>
                <Bars parts={each.parts} most={most} />
              </td>
              <td class="number">{each.started.toLocaleString('en-US')}</td>
              <td class="number">{each.completed.toLocaleString('en-US')}</td>
              <td class={each.failed > 0 ? 'number bad' : 'number'}>
                {each.failed === 0
                  ? 0
                  : `${each.failed.toLocaleString('en-US')} (${Math.max(1, Math.round((each.failed / each.started) * 100))} %)`}
              </td>
              <td class="number">{each.p50Ms === null ? '–' : duration(each.p50Ms)}</td>
              <td class="number">{each.p95Ms === null ? '–' : duration(each.p95Ms)}</td>
              <td class={each.workers === 0 ? 'number warn' : 'number'}>{each.workers}</td>
              <td class="number">
                <Time at={each.lastAt} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Starts in each five minutes of the hour. */
function Bars({ parts, most }: { readonly parts: readonly number[]; readonly most: number }): JSX.Element {
  const heights = parts.map((count) => (count === 0 ? 0 : Math.max(1.5, (count / most) * 22)));
  return (
    <svg class="bars" viewBox="0 0 96 24" role="img" aria-label={`Starts in each five minutes: ${parts.join(', ') || 'none'}`}>
      {heights.map((height, index) => (
        <rect key={index} x={index * 8 + 1} y={24 - height} width="6" height={height} rx="1" />
      ))}
    </svg>
  );
}
