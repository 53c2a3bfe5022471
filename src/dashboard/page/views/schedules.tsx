import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import type { ScheduleDescription } from '../../../client/schedules/schedule-description.js';
import type { Done } from '../../api/actions.js';
import type { Backfilled, ScheduleList } from '../../api/schedules.js';
import { post, segment, type Wire } from '../api.js';
import { useOverview } from '../overview.js';
import { Empty, Failure, Skeleton, Text, Time, ViewHead } from '../parts/basics.js';
import { ChangeDialog, type ChangeWords } from '../parts/change-dialog.js';
import { Modal, Field } from '../parts/dialog.js';
import { useResource } from '../resource.js';
import { go, href } from '../router.js';
import { ROW, useRowKeys } from '../rows.js';
import { counted, visible } from '../text.js';
import { duration } from '../times.js';

type Schedule = Wire<ScheduleDescription>;
type ScheduleAction = 'pause' | 'resume' | 'trigger' | 'backfill' | 'delete';

const PAGE = 100;

/** Schedules with their last and next due times. */
export function SchedulesView({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const after = query.get('after');
  const path = `schedules?${new URLSearchParams([['limit', String(PAGE)], ...(after === null ? [] : [['after', after]])]).toString()}`;
  const { data, error, reload } = useResource<ScheduleList>(path, 3_000);
  const [asked, setAsked] = useState<{ readonly action: ScheduleAction; readonly name: string }>();
  useRowKeys();
  return (
    <>
      <ViewHead title="Schedules" />
      {error && <Failure error={error} retry={reload} />}
      {data ? <ScheduleTable schedules={data.schedules} ask={(action, name) => setAsked({ action, name })} /> : !error && <Skeleton />}
      {data && (after !== null || data.schedules.length === PAGE) && (
        <nav class="pager" aria-label="Pages">
          {after === null ? <span /> : <a href={href(['schedules'])}>First schedules</a>}
          {data.schedules.length === PAGE && <a href={href(['schedules'], { after: data.schedules.at(-1)!.name })}>More schedules</a>}
        </nav>
      )}
      {asked && <ScheduleDialog {...asked} close={() => setAsked(undefined)} done={reload} />}
    </>
  );
}

const STATES = { active: 'completed', paused: 'paused', ended: 'ended' } as const;

function ScheduleTable(props: {
  readonly schedules: readonly Schedule[];
  readonly ask: (action: ScheduleAction, name: string) => void;
}): JSX.Element {
  const { schedules, ask } = props;
  const { isReadOnly } = useOverview();
  if (schedules.length === 0)
    return (
      <Empty title="There are no schedules">
        <code>@Schedule</code> on a workflow, or <code>client.schedules.create</code>, makes one.
      </Empty>
    );
  return (
    <div class="scroll" role="region" aria-label="Schedules" tabIndex={0}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Schedule</th>
            <th scope="col">State</th>
            <th scope="col">When</th>
            <th scope="col" class="number">
              Last
            </th>
            <th scope="col" class="number">
              Next
            </th>
            {!isReadOnly && <th scope="col">Change</th>}
          </tr>
        </thead>
        <tbody>
          {schedules.map((schedule) => (
            <tr key={schedule.name} data-schedule={schedule.name}>
              <td>
                <a {...ROW} href={href(['runs'], { schedule: schedule.name })}>
                  <Text value={schedule.name} length={48} />
                </a>
                <div class="small muted">
                  <Text value={schedule.workflow} length={48} />
                </div>
                {schedule.lastError !== undefined && <div class="small bad">{visible(schedule.lastError.slice(0, 200))}</div>}
              </td>
              <td>
                <span class="status" data-status={STATES[schedule.state]}>
                  {schedule.state}
                </span>
                {schedule.pauseReason !== undefined && (
                  <div class="small muted">
                    <Text value={schedule.pauseReason} length={80} />
                  </div>
                )}
              </td>
              <td>
                <code>{schedule.cron === undefined ? `every ${duration(schedule.everyMs ?? 0)}` : visible(schedule.cron)}</code>{' '}
                <span class="muted small">{schedule.cron === undefined ? '' : visible(schedule.timezone)}</span>
              </td>
              <td class="number">
                {schedule.lastRunId === undefined ? (
                  <Time at={schedule.last} />
                ) : (
                  <a href={href(['runs', schedule.lastRunId])}>
                    <Time at={schedule.last ?? schedule.updatedAt} />
                  </a>
                )}
              </td>
              <td class="number">
                <Time at={schedule.next} />
              </td>
              {!isReadOnly && (
                <td>
                  <div class="actions">
                    <button type="button" onClick={() => ask('trigger', schedule.name)}>
                      Start now…
                    </button>
                    <button type="button" onClick={() => ask('backfill', schedule.name)}>
                      Backfill…
                    </button>
                    {schedule.state !== 'ended' && (
                      <button type="button" onClick={() => ask(schedule.state === 'paused' ? 'resume' : 'pause', schedule.name)}>
                        {schedule.state === 'paused' ? 'Resume…' : 'Pause…'}
                      </button>
                    )}
                    <button type="button" class="danger-quiet" onClick={() => ask('delete', schedule.name)}>
                      Delete…
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

const WORDS: Readonly<Record<ScheduleAction, ChangeWords>> = {
  pause: { title: 'Pause the schedule?', confirm: 'Pause the schedule', about: 'The schedule starts no run until it is resumed.' },
  resume: { title: 'Resume the schedule?', confirm: 'Resume the schedule', about: 'The schedule starts runs again.' },
  trigger: { title: 'Start a run now?', confirm: 'Start a run', about: 'A run starts now, beside those of the due times.' },
  backfill: {
    title: 'Start missed runs?',
    confirm: 'Start the runs',
    about: 'A run starts for each due time of the period that has no run yet, at most 1,000.',
  },
  delete: {
    title: 'Delete the schedule?',
    confirm: 'Delete the schedule',
    about: 'The schedule is gone. Its runs continue. A schedule that a process declares cannot be deleted.',
    isDangerous: true,
  },
};

function ScheduleDialog(props: {
  readonly action: ScheduleAction;
  readonly name: string;
  readonly close: () => void;
  readonly done: () => void;
}): JSX.Element {
  const { action, name, close, done } = props;
  const [from, setFrom] = useState('');
  const [to, setTo] = useState('');
  const [started, setStarted] = useState<readonly string[]>();
  if (started !== undefined) return <StartedDialog runIds={started} close={close} />;
  const act = async (reason: string): Promise<void | 'stay'> => {
    const path = `schedules/${segment(name)}/${action}`;
    if (action === 'trigger') return go(href(['runs', (await post<Done>(path, { reason })).runId]));
    if (action === 'backfill') {
      const period = { from: toIso(from), ...(to === '' ? {} : { to: toIso(to) }) };
      setStarted((await post<Backfilled>(path, { ...period, reason })).runIds);
      return 'stay';
    }
    await post(path, { reason });
    return done();
  };
  const hint = action === 'pause' ? { reasonHint: 'Shown beside the schedule' } : {};
  return (
    <ChangeDialog words={WORDS[action]} name={name} {...hint} act={act} close={close}>
      {action === 'backfill' && (
        <>
          <Field label="From" hint="Included, in your time zone" type="datetime-local" value={from} change={setFrom} isRequired />
          <Field label="To" hint="Excluded; empty for now" type="datetime-local" value={to} change={setTo} />
        </>
      )}
    </ChangeDialog>
  );
}

function StartedDialog({ runIds, close }: { readonly runIds: readonly string[]; readonly close: () => void }): JSX.Element {
  return (
    <Modal title="Missed runs" close={close}>
      <div class="dialog-body" role="status">
        <p data-started={runIds.length}>
          {runIds.length === 0 ? 'Each due time of the period already has a run.' : `${counted(runIds.length, 'run')} started.`}
        </p>
        {runIds.length > 0 && (
          <ul class="mono small">
            {runIds.slice(0, 10).map((runId) => (
              <li key={runId}>
                <a href={href(['runs', runId])}>
                  <Text value={runId} length={80} />
                </a>
              </li>
            ))}
          </ul>
        )}
      </div>
      <div class="dialog-foot">
        <button type="button" class="primary" data-focus onClick={close}>
          Close
        </button>
      </div>
    </Modal>
  );
}

/** Converts the value of a field for a local time. */
function toIso(local: string): string {
  return new Date(local).toISOString();
}
