import type { Database } from '../../store/database.js';
import type { ListParams, Page, ReadParams, ResolveData, WorldEvent, WorldHook, WorldRun, WorldRunStatus, WorldStep } from '../contract.js';
import type { Kit } from '../kit.js';
import type { Line } from '../line.js';
import { Paging, type Place } from './paging.js';
import * as rows from './rows.js';

/** Part of a listing's statement, by what the caller asks for. */
interface Query {
  readonly name: string;
  /** Table and its alias. */
  readonly from: string;
  readonly columns: string;
  readonly joins?: string;
  /** Conditions on the parameters from $1 on. */
  readonly where: readonly string[];
  readonly values: readonly unknown[];
  /** Columns that order the rows, unique together. */
  readonly order: readonly string[];
  /** Types of these columns. */
  readonly types: readonly string[];
}

const STATUSES = new Set<WorldRunStatus>(['pending', 'running', 'completed', 'failed', 'cancelled']);
const SLOT = /^\d{1,18}$/;

/** Reads runs, steps, events and hooks. */
export class EventReader {
  private readonly paging: Paging;

  constructor(
    private readonly database: Database,
    private readonly kit: Kit,
    private readonly line: Line,
  ) {
    this.paging = new Paging(kit);
  }

  async getRun(runId: string, { resolveData = 'all' }: ReadParams = {}): Promise<WorldRun> {
    const run = await this.findRun(this.text(runId, 'runId'), this.resolve(resolveData));
    if (!run) throw new this.kit.errors.WorkflowRunNotFoundError(runId);
    return run;
  }

  async findRun(runId: string, resolve: ResolveData): Promise<WorldRun | undefined> {
    const { columns, joins } = rows.runPayloads(this.database.schema, 'r', resolve);
    const text = (schema: string): string =>
      `SELECT ${rows.RUN_COLUMNS('r')}, ${columns} FROM ${schema}.world_runs r ${joins} WHERE r.run_id = $1`;
    const [row] = await this.database.query<rows.RunRow>({ name: `world_get_run_${resolve}`, text }, [runId]);
    return row && rows.runOf(row, this.line);
  }

  async listRuns(params: ListParams & { workflowName?: string; status?: WorldRunStatus } = {}): Promise<Page<WorldRun>> {
    const { workflowName, status, pagination } = params;
    const resolve = this.resolve(params.resolveData);
    const { columns, joins } = rows.runPayloads(this.database.schema, 'r', resolve);
    const filters: [string, unknown][] = [];
    if (workflowName !== undefined) filters.push(['r.workflow_name', this.text(workflowName, 'workflowName')]);
    if (status !== undefined && !STATUSES.has(status)) throw this.invalid(`status must be one of ${[...STATUSES].join(', ')}`);
    const place = this.paging.place(pagination, 1, { limit: 20, sortOrder: 'desc' });
    const found = await this.read<rows.RunRow>(
      {
        name: `world_list_runs_${resolve}_${status ?? 'any'}_${filters.length}`,
        from: 'world_runs r',
        columns: `${rows.RUN_COLUMNS('r')}, ${columns}`,
        joins,
        // The status is part of the text, because its indexes are partial.
        where: [
          ...filters.map(([column], index) => `${column} = $${index + 1}::text`),
          ...(status === undefined ? [] : [`r.status = '${status}'`]),
        ],
        values: filters.map(([, value]) => value),
        order: ['r.run_id'],
        types: ['text'],
      },
      place,
    );
    return this.paging.page(
      found,
      place,
      ([runId]) => [runId],
      (row) => rows.runOf(row, this.line),
    );
  }

  async getStep(runId: string | undefined, stepId: string, { resolveData }: ReadParams = {}): Promise<WorldStep> {
    const resolve = this.resolve(resolveData);
    const { columns, joins } = rows.stepPayloads(this.database.schema, 's', resolve);
    const values = runId === undefined ? [this.text(stepId, 'stepId')] : [this.text(stepId, 'stepId'), this.text(runId, 'runId')];
    const text = (schema: string): string =>
      `SELECT ${rows.STEP_COLUMNS('s')}, ${columns} FROM ${schema}.world_steps s ${joins} WHERE s.step_id = $1${runId === undefined ? ' ORDER BY s.run_id DESC LIMIT 1' : ' AND s.run_id = $2'}`;
    const name = `world_get_step_${resolve}${runId === undefined ? '_anywhere' : ''}`;
    const [row] = await this.database.query<rows.StepRow>({ name, text }, values);
    if (!row) throw this.missing(`step ${stepId} of run ${runId} does not exist`);
    return rows.stepOf(row, this.line);
  }

  async listSteps(params: ListParams & { runId: string }): Promise<Page<WorldStep>> {
    const resolve = this.resolve(params.resolveData);
    const { columns, joins } = rows.stepPayloads(this.database.schema, 's', resolve);
    const place = this.paging.place(params.pagination, 1, { limit: 20, sortOrder: 'desc' });
    type Row = [slot: string, ...rows.StepRow];
    const found = await this.read<Row>(
      {
        name: `world_list_steps_${resolve}`,
        from: 'world_steps s',
        columns: `s.created_slot, ${rows.STEP_COLUMNS('s')}, ${columns}`,
        joins,
        where: ['s.run_id = $1::text'],
        values: [this.text(params.runId, 'runId')],
        order: ['s.created_slot'],
        types: ['bigint'],
      },
      place,
    );
    return this.paging.page(
      found,
      place,
      ([slot]) => [slot],
      ([, ...row]) => rows.stepOf(row, this.line),
    );
  }

  async getEvent(runId: string, eventId: string, { resolveData }: ReadParams = {}): Promise<WorldEvent> {
    const resolve = this.resolve(resolveData);
    const slot = this.line.slotOf(this.text(eventId, 'eventId'));
    const text = (schema: string): string =>
      `SELECT ${rows.EVENT_COLUMNS('e', resolve)} FROM ${schema}.world_events e WHERE e.run_id = $1 AND e.slot = $2`;
    const values = [this.text(runId, 'runId'), slot ?? -1];
    const [row] = await this.database.query<rows.EventRow>({ name: `world_get_event_${resolve}`, text }, values);
    const event = row && rows.eventOf(row, this.line, resolve);
    if (!event || event.eventId !== eventId) throw this.missing(`event ${eventId} of run ${runId} does not exist`);
    return event;
  }

  async list(params: ListParams & { runId: string }): Promise<Page<WorldEvent>> {
    const resolve = this.resolve(params.resolveData);
    const place = this.slotPlace(this.paging.place(params.pagination, 1, { limit: 100, sortOrder: 'asc' }));
    const found = await this.read<rows.EventRow>(
      {
        name: `world_list_events_${resolve}`,
        from: 'world_events e',
        columns: rows.EVENT_COLUMNS('e', resolve),
        where: ['e.run_id = $1::text'],
        values: [this.text(params.runId, 'runId')],
        order: ['e.slot'],
        types: ['bigint'],
      },
      place,
    );
    return this.paging.page(
      found,
      place,
      ([, slot]) => [slot],
      (row) => rows.eventOf(row, this.line, resolve),
    );
  }

  /** Reads events that follow a place in a run. */
  async eventsAfter(runId: string, slot: number, limit: number): Promise<WorldEvent[]> {
    const text = (schema: string): string =>
      `SELECT ${rows.EVENT_COLUMNS('e', 'all')} FROM ${schema}.world_events e WHERE e.run_id = $1 AND e.slot > $2 ORDER BY e.slot LIMIT $3::int`;
    const found = await this.database.query<rows.EventRow>({ name: 'world_events_after', text }, [runId, slot, limit]);
    return found.map((row) => rows.eventOf(row, this.line, 'all'));
  }

  async listByCorrelationId(params: ListParams & { correlationId: string; runId?: string }): Promise<Page<WorldEvent>> {
    const { correlationId, runId, pagination } = params;
    const resolve = this.resolve(params.resolveData);
    const place = this.paging.place(pagination, 2, { limit: 100, sortOrder: 'asc' });
    const found = await this.read<rows.EventRow>(
      {
        name: `world_list_correlated_${resolve}_${runId === undefined ? 'all' : 'run'}`,
        from: 'world_events e',
        columns: rows.EVENT_COLUMNS('e', resolve),
        where: ['e.correlation_id = $1::text', ...(runId === undefined ? [] : ['e.run_id = $2::text'])],
        values: [this.text(correlationId, 'correlationId'), ...(runId === undefined ? [] : [this.text(runId, 'runId')])],
        order: ['e.run_id', 'e.slot'],
        types: ['text', 'bigint'],
      },
      place,
    );
    return this.paging.page(
      found,
      place,
      ([run, slot]) => [run, slot],
      (row) => rows.eventOf(row, this.line, resolve),
    );
  }

  getHook(hookId: string, params: ReadParams = {}): Promise<WorldHook> {
    return this.findHook('hook_id', this.text(hookId, 'hookId'), params);
  }

  getHookByToken(token: string, params: ReadParams = {}): Promise<WorldHook> {
    return this.findHook('token', this.text(token, 'token'), params);
  }

  async listHooks(params: ListParams & { runId?: string } = {}): Promise<Page<WorldHook>> {
    const { runId, pagination } = params;
    const resolve = this.resolve(params.resolveData);
    const { columns, joins } = rows.hookPayloads(this.database.schema, 'h', resolve);
    const place = this.paging.place(pagination, 2, { limit: 100, sortOrder: 'asc' });
    const found = await this.read<rows.HookRow>(
      {
        name: `world_list_hooks_${resolve}_${runId === undefined ? 'all' : 'run'}`,
        from: 'world_hooks h',
        columns: `${rows.HOOK_COLUMNS('h')}, ${columns}`,
        joins,
        where: ['h.ended_at IS NULL', ...(runId === undefined ? [] : ['h.run_id = $1::text'])],
        values: runId === undefined ? [] : [this.text(runId, 'runId')],
        order: ['h.run_id', 'h.hook_id'],
        types: ['text', 'text'],
      },
      place,
    );
    return this.paging.page(found, place, ([run, hook]) => [run, hook], rows.hookOf);
  }

  private async findHook(column: 'hook_id' | 'token', value: string, { resolveData }: ReadParams): Promise<WorldHook> {
    const resolve = this.resolve(resolveData);
    const { columns, joins } = rows.hookPayloads(this.database.schema, 'h', resolve);
    const text = (schema: string): string =>
      `SELECT ${rows.HOOK_COLUMNS('h')}, ${columns} FROM ${schema}.world_hooks h ${joins} WHERE h.${column} = $1 AND h.ended_at IS NULL LIMIT 1`;
    const [row] = await this.database.query<rows.HookRow>({ name: `world_get_hook_${column}_${resolve}`, text }, [value]);
    if (!row) throw new this.kit.errors.HookNotFoundError(value);
    return rows.hookOf(row);
  }

  /**
   * Reads one row more than the page holds, in the order of the page. The events with payloads are
   * joined to the rows of the page only.
   */
  private read<Row extends unknown[]>(query: Query, { limit, after, descending }: Place): Promise<Row[]> {
    const { name, from, columns, joins = '', where, values, order, types } = query;
    const first = values.length + 1;
    const keys = types.map((type, index) => `$${first + index}::${type}`).join(', ');
    const conditions = after === undefined ? where : [...where, `(${order.join(', ')}) ${descending ? '<' : '>'} (${keys})`];
    const limitAt = first + (after?.length ?? 0);
    const direction = descending ? 'DESC' : 'ASC';
    const ordered = `ORDER BY ${order.map((column) => `${column} ${direction}`).join(', ')}`;
    const statement = {
      name: `${name}_${direction}${after === undefined ? '' : '_after'}`,
      text: (schema: string): string =>
        `SELECT ${columns} FROM (SELECT * FROM ${schema}.${from} ${conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`} ` +
        `${ordered} LIMIT $${limitAt}::int) ${from.split(' ')[1]} ${joins} ${ordered}`,
    };
    return this.database.query<Row>(statement, [...values, ...(after ?? []), limit + 1]);
  }

  private slotPlace(place: Place): Place {
    if (place.after !== undefined && !SLOT.test(place.after[0]!)) throw this.invalid('cursor is not a cursor of this listing');
    return place;
  }

  private resolve(given: unknown): ResolveData {
    if (given === undefined || given === 'all' || given === 'none') return given ?? 'all';
    throw this.invalid(`resolveData must be 'all' or 'none'`);
  }

  private text(value: unknown, name: string): string {
    if (typeof value === 'string') return value;
    throw this.invalid(`${name} must be a text`);
  }

  private missing(text: string): Error {
    return new this.kit.errors.WorkflowWorldError(text, { status: 404 });
  }

  private invalid(text: string): Error {
    return new this.kit.errors.WorkflowWorldError(text, { status: 400 });
  }
}
