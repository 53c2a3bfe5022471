import { createHash } from 'node:crypto';

import { Payloads } from '../../core/payloads.js';
import type { DeclaredSchedule } from '../../core/schedules/declared-schedule.js';
import { validate } from '../../core/standard-schema.js';
import type { ScheduleRow } from '../../store/schedule-row.js';
import {
  findFreshDeclarations,
  inScheduleTransaction,
  insertSchedule,
  lockSchedule,
  pauseUndeclared,
  updateSchedules,
} from '../../store/sql/schedules.js';
import type { ClientDependencies } from '../dependencies.js';
import { dueFrom, newScheduleRow, retimed } from './schedule-state.js';

/** Reason that a paused schedule shows when no process declares it any more. */
const UNDECLARED = 'no process declares the schedule any more';

/** Deployments that a schedule remembers, because their older definition was replaced. */
const MAX_REPLACED = 50;

/** Occasion of a declaration. A boot may replace the definition of another deployment. */
export type DeclarationOccasion = 'boot' | 'refresh';

/** A declaration of this process, with its digest and the row that it would create. */
interface Declaration {
  readonly row: ScheduleRow;
  readonly definition: string;
}

/** Parts of the host that declarations use. */
export interface DeclarationEnvironment {
  readonly deploymentId: string;
  /** Milliseconds for which a declaration counts after the process has last been seen. */
  readonly ttlMs: number;
  /** Called with a schedule whose name belongs to a schedule that a client created. */
  conflict(name: string): void;
  /** Called with schedules that were paused, because no process declares them any more. */
  undeclared(names: readonly string[]): void;
}

/**
 * Stores the schedules that `@Schedule` declares, and keeps them declared while the process lives.
 *
 * @internal
 */
export class ScheduleDeclarations {
  constructor(
    private readonly dependencies: ClientDependencies,
    private readonly declared: readonly DeclaredSchedule[],
    private readonly environment: DeclarationEnvironment,
  ) {}

  /**
   * Stores what this process declares.
   *
   * @throws InvalidInputError when the input of a schedule does not fit the schema
   */
  async declare(occasion: DeclarationOccasion): Promise<void> {
    const { database } = this.dependencies;
    const names = this.declared.map(({ name }) => name);
    // Between boots, one query suffices while all declarations are fresh. A fresh one of another
    // deployment stays as it is.
    const fresh = occasion === 'refresh' ? await findFreshDeclarations(database, names, this.environment.ttlMs / 2) : new Set();
    for (const schedule of this.declared) {
      if (fresh.has(schedule.name)) continue;
      const declaration = await this.toDeclaration(schedule);
      if (!(await this.store(declaration, occasion))) this.environment.conflict(schedule.name);
    }
  }

  /** Pauses schedules that no process declares any more. */
  async pauseUndeclared(): Promise<void> {
    const names = await pauseUndeclared(this.dependencies.database, UNDECLARED);
    if (names.length > 0) this.environment.undeclared(names);
  }

  private async toDeclaration({ name, workflow, timing, policies, input, schema, tags }: DeclaredSchedule): Promise<Declaration> {
    const { payloads } = this.dependencies;
    const value = schema ? await validate(schema, input, `input of schedule "${name}"`) : input;
    // A codec may encode the same input differently each time, so the digest is that of the plain
    // input.
    const plain = new Payloads(payloads.maxBytes, undefined).encode(value, 'input', name, 'input');
    const definition = createHash('sha256')
      .update(JSON.stringify([workflow, timing, policies, plain, tags]))
      .digest('hex');
    const stored = payloads.encode(value, 'input', name, 'input');
    return { row: newScheduleRow({ name, workflow, timing, policies, input: stored, tags }, this.dependencies.now()), definition };
  }

  /** Returns false when a client has created a schedule with the name. */
  private store({ row, definition }: Declaration, occasion: DeclarationOccasion): Promise<boolean> {
    const { database } = this.dependencies;
    const { deploymentId, ttlMs } = this.environment;
    return inScheduleTransaction(database, async (transaction) => {
      const own = { ...row, definition, deploymentId };
      const locked = await lockSchedule(database, transaction, row.name);
      if (!locked) {
        const created = { ...own, declaredUntil: row.createdAt + ttlMs };
        if (await insertSchedule(database, transaction, created)) this.note(created);
        return true;
      }
      if (locked.row.definition === null) return false;
      const changed = redeclared(locked.row, own, { now: locked.now, ttlMs, occasion });
      if (changed === locked.row) return true;
      await updateSchedules(database, transaction, [changed], 'all');
      this.note(changed);
      return true;
    });
  }

  private note({ fireAt }: ScheduleRow): void {
    if (fireAt !== null) this.dependencies.scheduled(fireAt);
  }
}

interface Redeclaration {
  readonly now: number;
  readonly ttlMs: number;
  readonly occasion: DeclarationOccasion;
}

/**
 * Returns a stored schedule after a process has declared it. During a rolling deployment, processes
 * with two definitions live at the same time. The definition of the deployment that came last
 * stays, also when a process of an earlier deployment restarts. An earlier deployment gets its
 * definition back when no process with the current one lives any more.
 */
function redeclared(stored: ScheduleRow, own: ScheduleRow, { now, ttlMs, occasion }: Redeclaration): ScheduleRow {
  const isAlive = stored.declaredUntil !== null && stored.declaredUntil > now;
  const isSame = stored.definition === own.definition;
  const wasReplaced = stored.replacedDeployments.includes(own.deploymentId!);
  if (!isSame && isAlive && (occasion === 'refresh' || wasReplaced)) return stored;
  const isFresh = stored.declaredUntil !== null && stored.declaredUntil > now + ttlMs / 2;
  if (isSame && isFresh && (occasion === 'refresh' || stored.deploymentId === own.deploymentId)) return stored;
  const { deploymentId, definition } = own;
  const others = [...stored.replacedDeployments, stored.deploymentId!].filter((id) => id !== deploymentId);
  const replacedDeployments = [...new Set(others)].slice(-MAX_REPLACED);
  const declared = { deploymentId, definition, replacedDeployments, declaredUntil: now + ttlMs };
  const current: ScheduleRow = { ...stored, ...declared };
  const defined = isSame ? current : redefined(current, own, now);
  if (!stored.isUndeclared) return defined;
  const isOperators = stored.pauseReason !== UNDECLARED;
  const back = { ...defined, isUndeclared: false, ...(isOperators ? {} : { pausedAt: null, pauseReason: null, resumeAt: null }) };
  return { ...back, ...dueFrom(back, now), updatedAt: now };
}

function redefined(current: ScheduleRow, own: ScheduleRow, now: number): ScheduleRow {
  const { workflow, overlap, catchUp, catchUpLimit, input, tags } = own;
  return { ...retimed({ ...current, workflow, overlap, catchUp, catchUpLimit, input, tags }, own, now), updatedAt: now };
}
