import type { OwnedRun } from '../core/run.js';
import { encodeError } from '../core/serializer/index.js';
import type { Committed, RunChange } from '../core/transition.js';
import type { Journal } from '../store/journal.js';
import type { WorkerEvents, WorkerOptions } from './worker-types.js';

/** Milliseconds until a run whose history did not fit into memory is due again. */
const POSTPONE_MS = 1_000;

const ignore = (): void => undefined;

type UnstartedRun = Pick<OwnedRun, 'id' | 'epoch' | 'historyBytes'>;

/** Releases runs that this session owns but has not begun to execute. */
export class UnstartedRuns {
  constructor(
    private readonly journal: Journal,
    private readonly events: WorkerEvents,
    private readonly options: Pick<WorkerOptions, 'deploymentId' | 'engine'>,
  ) {}

  /**
   * Makes runs due again, so that any worker may claim them.
   *
   * @param announcedBy component that announces the runs to processes that do not poll. `this`:
   *   this method. `caller`: the caller, if such processes exist
   */
  handBack(runs: readonly UnstartedRun[], announcedBy: 'caller' | 'this' = 'caller'): void {
    for (const run of runs) {
      this.change(run, { status: 'pending' }, ({ outcome }) => {
        if (outcome === 'done' && announcedBy === 'this') this.events.returned([run.id]);
      });
    }
  }

  /** Blocks a run that this deployment cannot continue. */
  block(run: UnstartedRun, error: Error): void {
    this.change(run, { status: 'waiting', blockedFor: this.options.deploymentId, reason: encodeError(error) }, ignore);
  }

  /** Makes a run due again after a short wait. */
  postpone(run: OwnedRun): void {
    const { id, queue, name, version, wakeCount } = run;
    const wakeAt = Math.ceil(this.options.engine.now()) + POSTPONE_MS;
    this.change(run, { status: 'waiting', wakeAt, wakeCount }, ({ outcome }) => {
      if (outcome === 'done') void this.events.due([{ id, queue, name, version, wakeAt }]);
      else this.handBack([run], 'this');
    });
  }

  private change({ id, epoch, historyBytes }: UnstartedRun, change: RunChange, done: (committed: Committed) => void): void {
    this.journal.submit({ kind: 'change', runId: id, epoch, change, historyBytes }, done, ignore);
  }
}
