import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { ShownHistory, ShownRun, StepPage } from '../../api/run.js';
import { runPath, type Wire } from '../api.js';
import { useOverview } from '../overview.js';
import { Empty, Failure, Panel, Skeleton, ViewHead } from '../parts/basics.js';
import { ErrorDetails, Payload } from '../parts/payload.js';
import { useResource } from '../resource.js';
import { visible } from '../text.js';
import { go, href } from '../router.js';
import { useRowKeys } from '../rows.js';
import { rowsOf, type TimelineRow } from '../timeline/rows.js';
import { Timeline } from '../timeline/timeline.js';
import { ActionDialog, type ActionName } from './ask.js';
import { History } from './history.js';
import { RunHead } from './run-head.js';
import { Streams } from './streams.js';
import { StepDetails } from './step.js';

const ACTIVE_MS = 1_500;
/** An ended run may still be retried, or get children. */
const ENDED_MS = 10_000;

const ENDED = new Set(['completed', 'failed', 'cancelled', 'continued']);

/** An action whose dialog is open. */
interface Asked {
  readonly action: ActionName;
  readonly stepKey?: string | undefined;
}

/** One run: its state, timeline, payloads, history and streams, with live updates. */
export function RunView({ runId, query }: { readonly runId: string; readonly query: URLSearchParams }): JSX.Element {
  const [asked, setAsked] = useState<Asked>();
  const [isFull, setFull] = useState(false);
  const [isOver, setOver] = useState(false);
  const everyMs = isOver ? ENDED_MS : ACTIVE_MS;
  const after = query.get('after');
  const run = useResource<ShownRun>(runPath(runId, isFull ? '?payloads=full' : ''), everyMs);
  const steps = useResource<StepPage>(runPath(runId, `/steps${after === null ? '' : `?after=${after}`}`), everyMs);
  const history = useResource<ShownHistory>(runPath(runId, '/history?limit=500'), everyMs);
  const { data } = run;
  const { isReadOnly } = useOverview();
  useRowKeys();
  if (data && ENDED.has(data.status) !== isOver) setOver(!isOver);
  if (run.error?.status === 404)
    return (
      <Empty title="There is no run with this id">
        <ViewHead title={visible(runId)} />
        It may have been deleted, or retention has removed it. <a href={href(['runs'])}>Show all runs</a>
      </Empty>
    );
  const reload = (): void => {
    run.reload();
    steps.reload();
    history.reload();
  };
  const done = (changed: string): void => {
    if (asked?.action === 'delete') return go(href(['runs']), 'replace');
    if (changed !== runId) return go(href(['runs', changed]));
    reload();
  };
  return (
    <>
      {run.error && <Failure error={run.error} retry={run.reload} />}
      {data ? (
        <>
          <RunHead run={data} ask={isReadOnly ? undefined : (action) => setAsked({ action })} />
          {steps.error && <Failure error={steps.error} retry={steps.reload} />}
          <Steps
            run={data}
            page={steps.data}
            hasFailed={steps.error !== undefined}
            history={history.data}
            query={query}
            ask={isReadOnly ? undefined : (action, stepKey) => setAsked({ action, stepKey })}
          />
          {data.error && (
            <Panel title="Error" class="error-panel">
              <ErrorDetails error={data.error} />
            </Panel>
          )}
          <div class="columns">
            <Panel title="Payloads">
              <Payload label="Input" payload={data.input} more={isFull ? undefined : () => setFull(true)} />
              <Payload
                label="Output"
                payload={data.output}
                absent={data.status === 'completed' ? 'The run returned nothing.' : 'The run has no output.'}
                more={isFull ? undefined : () => setFull(true)}
              />
              {Object.entries(data.state).map(([key, value]) => (
                <Payload key={key} label={`State ${key}`} payload={value} />
              ))}
            </Panel>
            <Panel title="History">
              {history.error && <Failure error={history.error} retry={history.reload} />}
              {history.data ? <History runId={runId} page={history.data} /> : <Skeleton lines={4} />}
            </Panel>
          </div>
          <Streams runId={runId} isOver={isOver} />
        </>
      ) : (
        !run.error && <Skeleton lines={12} />
      )}
      {asked && (
        <ActionDialog
          key={`${asked.action} ${asked.stepKey ?? ''}`}
          {...asked}
          runId={runId}
          signalName={data?.waits.find(({ kind }) => kind === 'signal')?.name}
          close={() => setAsked(undefined)}
          done={done}
        />
      )}
    </>
  );
}

function Steps(props: {
  readonly run: Wire<ShownRun>;
  readonly page: Wire<StepPage> | undefined;
  readonly hasFailed: boolean;
  readonly history: Wire<ShownHistory> | undefined;
  readonly query: URLSearchParams;
  readonly ask: ((action: ActionName, stepKey: string) => void) | undefined;
}): JSX.Element | null {
  const { run, page, hasFailed, history, query, ask } = props;
  const chosen = query.get('step') ?? undefined;
  const after = query.get('after');
  if (!page) return hasFailed ? null : <Skeleton lines={5} />;
  const all = rowsOf(run, page.steps, history?.entries ?? []);
  // Open waits belong to the last page.
  const rows = page.next === undefined ? all : all.filter(({ step }) => step !== undefined);
  const found = rows.find(({ key }) => key === chosen);
  const from = after === null ? Date.parse(run.startedAt ?? run.createdAt) : Math.min(...rows.map((row) => row.from));
  const to = page.next === undefined ? run.finishedAt && Date.parse(run.finishedAt) : latest(rows);
  const choose = (key: string | undefined): void => {
    const next = new URLSearchParams(query);
    if (key === undefined || key === chosen) next.delete('step');
    else next.set('step', key);
    go(href(['runs', run.runId], next), 'replace');
  };
  const paged = (value: string | undefined): string => href(['runs', run.runId], value === undefined ? {} : { after: value });
  return (
    <Panel title="Timeline" aside={<span class="muted small">{rows.length === 0 ? '' : `${rows.length} shown`}</span>}>
      {rows.length === 0 ? (
        <p class="muted pad">No step has been recorded yet.</p>
      ) : (
        <Timeline rows={rows} from={from} to={to || undefined} chosen={chosen} choose={choose} />
      )}
      {(after !== null || page.next !== undefined) && (
        <nav class="pager" aria-label="Pages of steps">
          {after === null ? <span /> : <a href={paged(undefined)}>First steps</a>}
          {page.next !== undefined && <a href={paged(String(page.next))}>Later steps</a>}
        </nav>
      )}
      {found && (
        <StepDetails
          runId={run.runId}
          row={found}
          isFailed={run.status === 'failed'}
          isEnded={run.finishedAt !== undefined}
          ask={ask}
          close={() => choose(undefined)}
        />
      )}
    </Panel>
  );
}

function latest(rows: readonly TimelineRow[]): number {
  return Math.max(...rows.map((row) => row.to ?? row.from));
}
