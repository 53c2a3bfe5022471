import { newRunId } from '../../core/ids.js';
import type { Database, Statement } from '../../store/database.js';
import { AttributeRules } from '../attributes.js';
import { encodeData, encodeJson, payloadOf } from '../codec.js';
import type { CreatedEvent, CreateEventParams, NewWorldEvent, WorldEvent, WorldRun } from '../contract.js';
import type { Kit } from '../kit.js';
import type { Line } from '../line.js';
import * as sql from './event-statements.js';
import { EventChecks, withoutInput } from './event-checks.js';
import type { EventReader } from './event-reader.js';
import { Refusals, stateOf, type StateRow } from './refusals.js';
import { hookOf, runOf, stepOf, waitOf, type HookRow, type RunRow, type StepRow, type WaitRow } from './rows.js';

/** Place and time of the last event that a statement has written, and the columns of its answer. */
type Written<Row extends unknown[] = unknown[]> = [slot: string, atMs: number, ...row: Row];

/** Number of tries of an event whose state changes while it is written. */
const TRIES = 5;

/** Writes events: each with the row that it changes, all or nothing. */
export class EventWriter {
  private readonly refusals: Refusals;
  private readonly checks: EventChecks;
  private readonly attributes: AttributeRules;

  constructor(
    private readonly database: Database,
    kit: Kit,
    private readonly line: Line,
    private readonly reader: EventReader,
  ) {
    this.refusals = new Refusals(kit, line);
    this.checks = new EventChecks(kit);
    this.attributes = new AttributeRules(kit);
  }

  /**
   * Writes an event.
   *
   * @param runId null for run_created of a run whose id the World makes
   * @throws the error of the kit that tells the runtime why the event was refused
   */
  async create(runId: string | null, event: NewWorldEvent, params: CreateEventParams = {}): Promise<CreatedEvent> {
    if (event.eventType === 'run_created') return this.createRun(runId ?? `wrun_${newRunId()}`, event);
    if (runId === null) throw this.checks.invalid('runId is missing');
    if (event.eventType === 'run_started') return this.startRun(runId, event, params);
    return this.withMissed(await this.createOther(runId, event), params);
  }

  /** Adds the events that the writer did not know, on the lines that number events densely. */
  private async withMissed(created: CreatedEvent, { eventCount }: CreateEventParams): Promise<CreatedEvent> {
    if (!this.line.hasDenseEvents || eventCount === undefined || !created.event) return created;
    const { runId, eventId } = created.event;
    const missed = this.line.slotOf(eventId)! - eventCount - 1;
    return missed > 0 ? { ...created, events: await this.reader.eventsAfter(runId, eventCount, missed) } : created;
  }

  private async createRun(runId: string, event: NewWorldEvent): Promise<CreatedEvent> {
    this.checks.checkRunId(runId);
    const run = await this.insertRun(sql.CREATE_RUN, runId, event, event.eventData);
    if (!run) throw this.refusals.conflict(`run ${runId} exists already`);
    return run;
  }

  /**
   * Starts a run. A run whose run_created was lost is created by the data of its first message,
   * however late that message arrives.
   */
  private async startRun(runId: string, event: NewWorldEvent, params: CreateEventParams): Promise<CreatedEvent> {
    for (let tries = 0; tries < TRIES; tries++) {
      const values = this.values(runId, { ...event, eventData: undefined }, []);
      const [row] = await this.database.query<Written<RunRow> | [null, null, ...RunRow]>(sql.START_RUN, values);
      const run = row && runOf(row.slice(2) as RunRow, this.line);
      if (row && row[0] !== null) return this.withHistory(this.answer(runId, event, row, { run }), params);
      if (run?.status === 'running') return this.withHistory({ run }, params);
      if (!run && event.eventData?.['workflowName'] !== undefined) {
        this.checks.checkUlid(runId);
        const created = await this.insertRun(sql.CREATE_STARTED_RUN, runId, event, event.eventData);
        if (created) return this.withHistory(created, params);
      }
      const refusal = await this.refusal(runId, event);
      if (refusal) throw refusal;
    }
    throw this.refusals.busy(runId);
  }

  private async insertRun(
    statement: Statement,
    runId: string,
    event: NewWorldEvent,
    data: Record<string, unknown> | undefined,
  ): Promise<CreatedEvent | undefined> {
    const { workflowName, deploymentId, executionContext, attributes, allowReservedAttributes } = data ?? {};
    if (typeof workflowName !== 'string' || typeof deploymentId !== 'string')
      throw this.checks.invalid(`${event.eventType} needs a workflowName and a deploymentId`);
    if (attributes !== undefined) this.attributes.checkInitial(attributes, allowReservedAttributes === true);
    const { data: rest, payload } = encodeData('run_created', data);
    const initial = this.line.hasAttributes ? JSON.stringify(attributes ?? {}) : null;
    const values = [runId, rest, payload, event.specVersion ?? null, workflowName, deploymentId, encodeJson(executionContext), initial];
    const [row] = await this.database.query<Written<RunRow>>(statement, values);
    if (!row) return undefined;
    const run: WorldRun = { ...runOf(row.slice(2) as RunRow, this.line), input: payloadOf('run_created', data) };
    return this.answer(runId, event, row, { run });
  }

  private async createOther(runId: string, event: NewWorldEvent): Promise<CreatedEvent> {
    for (let tries = 0; tries < TRIES; tries++) {
      const created = await this.tryCreate(runId, event);
      if (created) return created;
      const refusal = await this.refusal(runId, event);
      if (refusal) throw refusal;
    }
    throw this.refusals.busy(runId);
  }

  private tryCreate(runId: string, event: NewWorldEvent): Promise<CreatedEvent | undefined> {
    switch (event.eventType) {
      case 'run_completed':
      case 'run_failed':
      case 'run_cancelled':
        return this.endRun(runId, event, event.eventType.slice(4));
      case 'attr_set':
        return this.setAttributes(runId, event);
      case 'step_created':
        return this.step(sql.CREATE_STEP, runId, event, [this.checks.text(event, 'stepName')]);
      case 'step_started':
        return event.eventData?.['input'] === undefined
          ? this.step(sql.START_STEP, runId, { ...event, eventData: withoutInput(event) }, [])
          : this.createStartedStep(runId, event);
      case 'step_completed':
        return this.step(sql.END_STEP, runId, event, ['completed']);
      case 'step_failed':
        return this.step(sql.END_STEP, runId, event, ['failed']);
      case 'step_retrying':
        return this.step(sql.RETRY_STEP, runId, event, [this.checks.time(event, 'retryAfter')]);
      case 'hook_created':
        return this.createHook(runId, event);
      case 'hook_received':
        return this.hook(sql.RECEIVE_HOOK, runId, event, []);
      case 'hook_disposed':
        return this.hook(sql.DISPOSE_HOOK, runId, event, []);
      case 'wait_created':
        return this.wait(sql.CREATE_WAIT, runId, event, [this.checks.time(event, 'resumeAt')]);
      case 'wait_completed':
        return this.wait(sql.END_WAIT, runId, event, []);
      default:
        throw this.checks.invalid(`events of type ${JSON.stringify(event.eventType)} cannot be created`);
    }
  }

  /**
   * Ends a run. When another event came meanwhile, the lock is taken by a statement of its own: the
   * next statement then sees all hooks that must end too.
   */
  private async endRun(runId: string, event: NewWorldEvent, status: string): Promise<CreatedEvent | undefined> {
    const code = event.eventData?.['errorCode'];
    const values = this.values(runId, event, [status, typeof code === 'string' ? code : null]);
    let [row] = await this.database.query<Written<RunRow>>(sql.END_RUN, values);
    row ??= await this.database.transaction(async (client) => {
      await this.database.query(sql.LOCK_RUN, [runId], client);
      return (await this.database.query<Written<RunRow>>(sql.END_RUN, values, client))[0];
    });
    if (row) {
      const run = runOf(row.slice(2) as RunRow, this.line);
      const result =
        status === 'completed'
          ? { output: event.eventData?.['output'] }
          : status === 'failed'
            ? { error: this.line.errorOf(event.eventData) }
            : {};
      return this.answer(runId, event, row, { run: { ...run, ...result } });
    }
    const run = status === 'cancelled' ? await this.reader.findRun(runId, 'all') : undefined;
    return run?.status === 'cancelled' ? { run } : undefined;
  }

  private async setAttributes(runId: string, event: NewWorldEvent): Promise<CreatedEvent | undefined> {
    const { changes, writer, allowReservedAttributes } = event.eventData ?? {};
    const checked = this.attributes.checkChanges(changes, allowReservedAttributes === true);
    const isWorkflow = (writer as { type?: unknown } | undefined)?.type === 'workflow';
    const once = isWorkflow && event.correlationId !== undefined ? `attr_set ${event.correlationId}` : null;
    try {
      const [row] = await this.database.transaction(async (client) => {
        const [locked] = await this.database.query<[Record<string, string> | null]>(sql.LOCK_RUN, [runId], client);
        if (!locked) return [];
        const attributes = this.attributes.apply(locked[0] ?? {}, checked);
        return this.database.query<Written<RunRow>>(
          sql.SET_ATTRIBUTES,
          this.values(runId, event, [JSON.stringify(attributes), once]),
          client,
        );
      });
      return (
        row && this.answer(runId, event, row, { run: runOf([...row.slice(2), null, null, null, null, null, null] as RunRow, this.line) })
      );
    } catch (error) {
      if ((error as { code?: unknown }).code !== '23505') throw error;
      throw this.refusals.conflict(`the attributes of run ${runId} have been set by ${event.correlationId} already`);
    }
  }

  private async step(statement: Statement, runId: string, event: NewWorldEvent, more: unknown[]): Promise<CreatedEvent | undefined> {
    const row = await this.write<StepRow>(statement, runId, event, more);
    if (!row) return undefined;
    const step = stepOf(row.slice(2) as StepRow, this.line);
    const { eventType, eventData } = event;
    // The statement does not see the event that it writes itself.
    if (eventType === 'step_created') step.input = eventData?.['input'];
    if (eventType === 'step_completed') step.output = eventData?.['result'];
    if (eventType === 'step_failed' || eventType === 'step_retrying') step.error = this.line.errorOf(eventData);
    return this.answer(runId, event, row, { step });
  }

  private async createStartedStep(runId: string, event: NewWorldEvent): Promise<CreatedEvent | undefined> {
    const { input, ownerMessageId: _owner, ...data } = event.eventData ?? {};
    const created = encodeData('step_created', { ...data, input });
    const started: NewWorldEvent = { ...event, eventData: withoutInput(event) };
    const more = [created.data, created.payload, this.checks.text(event, 'stepName')];
    const row = await this.write<StepRow>(sql.CREATE_STARTED_STEP, runId, started, more);
    if (!row) return undefined;
    const step = { ...stepOf(row.slice(2) as StepRow, this.line), input };
    return { ...this.answer(runId, started, row, { step }), stepCreated: true };
  }

  private async createHook(runId: string, event: NewWorldEvent): Promise<CreatedEvent | undefined> {
    const token = this.checks.text(event, 'token');
    if (Buffer.byteLength(token) > 2_000) throw this.checks.invalid('the token of a hook must have at most 2000 bytes');
    const { isWebhook = null, isSystem = null } = event.eventData ?? {};
    const created = await this.hook(sql.CREATE_HOOK, runId, event, [token, isWebhook, isSystem]);
    if (created) return created;
    const [holder] = await this.database.query<[string]>(sql.TOKEN_HOLDER, [token]);
    if (!holder || (await this.refusal(runId, event))) return undefined;
    const eventData = { token, conflictingRunId: holder[0] };
    const conflict: NewWorldEvent = { ...event, eventType: 'hook_conflict', eventData };
    const row = await this.write<HookRow>(sql.CONFLICT_HOOK, runId, conflict, [token]);
    return row && this.answer(runId, conflict, row, {});
  }

  private async hook(statement: Statement, runId: string, event: NewWorldEvent, more: unknown[]): Promise<CreatedEvent | undefined> {
    const row = await this.write<HookRow>(statement, runId, event, more);
    if (!row) return undefined;
    const hook = hookOf([...row.slice(2), null, null, null] as HookRow);
    const metadata = event.eventType === 'hook_created' ? event.eventData?.['metadata'] : undefined;
    return this.answer(runId, event, row, { hook: { ...hook, ...(metadata === undefined ? {} : { metadata }) } });
  }

  private async wait(statement: Statement, runId: string, event: NewWorldEvent, more: unknown[]): Promise<CreatedEvent | undefined> {
    const row = await this.write<WaitRow>(statement, runId, event, more);
    return row && this.answer(runId, event, row, { wait: waitOf(row.slice(2) as WaitRow) });
  }

  private async write<Row extends unknown[]>(
    statement: Statement,
    runId: string,
    event: NewWorldEvent,
    more: unknown[] = [],
  ): Promise<Written<Row> | undefined> {
    const [row] = await this.database.query<Written<Row>>(statement, this.values(runId, event, more));
    return row;
  }

  private values(runId: string, { eventType, correlationId, eventData, specVersion }: NewWorldEvent, more: unknown[]): unknown[] {
    if (correlationId === undefined && /^(step|hook|wait)_/.test(eventType))
      throw this.checks.invalid(`${eventType} needs a correlationId`);
    const { data, payload } = encodeData(eventType, eventData);
    return [runId, eventType, correlationId ?? null, data, payload, specVersion ?? null, this.line.maxSpecVersion, ...more];
  }

  private answer(runId: string, event: NewWorldEvent, [slot, atMs]: Written, rows: Partial<CreatedEvent>): CreatedEvent {
    const { eventType, correlationId, eventData, specVersion } = event;
    const written: WorldEvent = {
      runId,
      eventId: this.line.eventId(runId, Number(slot), atMs),
      eventType,
      ...(correlationId === undefined ? {} : { correlationId }),
      ...(eventData === undefined || eventType === 'run_started' ? {} : { eventData }),
      ...(specVersion === undefined ? {} : { specVersion }),
      createdAt: new Date(atMs),
    };
    return { event: written, ...rows };
  }

  /**
   * Adds the whole history to an answer, which saves the runtime a request; not a history of
   * several pages.
   */
  private async withHistory(answer: CreatedEvent, { skipPreload }: CreateEventParams): Promise<CreatedEvent> {
    if (skipPreload === true || !answer.run) return answer;
    const { data, cursor, hasMore } = await this.reader.list({ runId: answer.run.runId });
    return hasMore ? answer : { ...answer, events: data, cursor, hasMore };
  }

  private async refusal(runId: string, event: NewWorldEvent): Promise<Error | undefined> {
    const [row] = await this.database.query<StateRow>(sql.READ_STATE, [runId, event.correlationId ?? null]);
    return this.refusals.of(runId, event, stateOf(row!));
  }
}
