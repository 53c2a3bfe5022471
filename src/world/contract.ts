/** Contents of an answer: payloads too (`all`, the default), or all but payloads (`none`). */
export type ResolveData = 'all' | 'none';

/** Statuses of a run of the kit. */
export type WorldRunStatus = 'pending' | 'running' | 'completed' | 'failed' | 'cancelled';

/** A run of the kit. Fields without a value are absent. */
export interface WorldRun {
  runId: string;
  status: WorldRunStatus;
  deploymentId: string;
  workflowName: string;
  specVersion?: number;
  executionContext?: Record<string, unknown>;
  attributes?: Record<string, string>;
  input?: unknown;
  output?: unknown;
  error?: unknown;
  errorCode?: string;
  createdAt: Date;
  updatedAt: Date;
  startedAt?: Date;
  completedAt?: Date;
}

/** A step of a run of the kit. */
export interface WorldStep {
  runId: string;
  stepId: string;
  stepName: string;
  status: 'pending' | 'running' | 'completed' | 'failed';
  attempt: number;
  specVersion?: number;
  input?: unknown;
  output?: unknown;
  error?: unknown;
  createdAt: Date;
  updatedAt: Date;
  startedAt?: Date;
  completedAt?: Date;
  retryAfter?: Date;
}

/** A hook of a run of the kit. */
export interface WorldHook {
  runId: string;
  hookId: string;
  token: string;
  ownerId: string;
  projectId: string;
  environment: string;
  metadata?: unknown;
  specVersion?: number;
  isWebhook?: boolean;
  isSystem?: boolean;
  createdAt: Date;
}

/** A wait of a run of the kit. */
export interface WorldWait {
  runId: string;
  waitId: string;
  status: 'waiting' | 'completed';
  specVersion?: number;
  resumeAt?: Date;
  createdAt: Date;
  updatedAt: Date;
  completedAt?: Date;
}

/** An event of a run's history. */
export interface WorldEvent {
  runId: string;
  eventId: string;
  eventType: string;
  correlationId?: string;
  eventData?: Record<string, unknown>;
  specVersion?: number;
  createdAt: Date;
}

/** Event to be written. */
export interface NewWorldEvent {
  readonly eventType: string;
  readonly correlationId?: string;
  readonly eventData?: Record<string, unknown>;
  readonly specVersion?: number;
}

/** Parameters of `events.create`. */
export interface CreateEventParams {
  readonly resolveData?: ResolveData;
  /** True when the answer to run_started need not contain the history. */
  readonly skipPreload?: boolean;
  /** Number of events that the writer knew (spec 6 and 7). */
  readonly eventCount?: number;
}

/** Answer of `events.create`. */
export interface CreatedEvent {
  event?: WorldEvent;
  run?: WorldRun;
  step?: WorldStep;
  hook?: WorldHook;
  wait?: WorldWait;
  events?: WorldEvent[];
  cursor?: string | null;
  hasMore?: boolean;
  stepCreated?: boolean;
}

/** Place and size of a page. */
export interface Pagination {
  readonly limit?: number;
  readonly cursor?: string;
  readonly sortOrder?: 'asc' | 'desc';
}

/** One page of a listing. */
export interface Page<T> {
  data: T[];
  cursor: string | null;
  hasMore: boolean;
}

/** Parameters of reads of one thing. */
export interface ReadParams {
  readonly resolveData?: ResolveData;
}

/** Parameters of listings. */
export interface ListParams extends ReadParams {
  readonly pagination?: Pagination;
}

/** Options of a message. */
export interface QueueOptions {
  readonly idempotencyKey?: string;
  readonly delaySeconds?: number;
  readonly headers?: Record<string, string>;
  readonly deploymentId?: string;
  readonly specVersion?: number;
}

/** Facts about a delivery of a message. */
export interface DeliveryMeta {
  readonly queueName: string;
  readonly messageId: string;
  readonly attempt: number;
  readonly requestId?: string;
}

/** Code of the kit that a message is handed to. */
export type QueueHandler = (message: unknown, meta: DeliveryMeta) => Promise<void | { timeoutSeconds: number }>;

/** One page of a stream's chunks. */
export interface StreamChunks {
  data: { index: number; data: Uint8Array }[];
  cursor: string | null;
  hasMore: boolean;
  done: boolean;
}

/** Length and state of a stream. */
export interface StreamInfo {
  tailIndex: number;
  done: boolean;
}

/** Chunk of a stream: a text is stored as UTF-8. */
export type StreamChunk = string | Uint8Array;

/** A World as the Workflow DevKit uses it, for its stable line and its beta line. */
export interface World {
  /** Version of the contract between the kit and the World. */
  readonly specVersion: number;
  /** Puts a message into a queue. Resolves when the message is durable. */
  queue(queueName: string, message: unknown, options?: QueueOptions): Promise<{ messageId: string }>;
  /** Creates the handler of the kit's HTTP route for queues with this prefix. */
  createQueueHandler(prefix: string, handler: QueueHandler): (request: Request) => Promise<Response>;
  /** Resolves to the name of the deployment. */
  getDeploymentId(): Promise<string>;
  readonly runs: {
    get(runId: string, params?: ReadParams): Promise<WorldRun>;
    list(params?: ListParams & { workflowName?: string; status?: WorldRunStatus }): Promise<Page<WorldRun>>;
  };
  readonly steps: {
    get(runId: string | undefined, stepId: string, params?: ReadParams): Promise<WorldStep>;
    list(params: ListParams & { runId: string }): Promise<Page<WorldStep>>;
  };
  readonly events: {
    create(runId: string | null, event: NewWorldEvent, params?: CreateEventParams): Promise<CreatedEvent>;
    get(runId: string, eventId: string, params?: ReadParams): Promise<WorldEvent>;
    list(params: ListParams & { runId: string }): Promise<Page<WorldEvent>>;
    listByCorrelationId(params: ListParams & { correlationId: string; runId?: string }): Promise<Page<WorldEvent>>;
  };
  readonly hooks: {
    get(hookId: string, params?: ReadParams): Promise<WorldHook>;
    getByToken(token: string, params?: ReadParams): Promise<WorldHook>;
    list(params: ListParams & { runId?: string }): Promise<Page<WorldHook>>;
  };
  /** Streams, as the beta line calls them. */
  readonly streams: {
    write(runId: string | Promise<string>, name: string, chunk: StreamChunk): Promise<void>;
    writeMulti(runId: string | Promise<string>, name: string, chunks: StreamChunk[]): Promise<void>;
    close(runId: string | Promise<string>, name: string): Promise<void>;
    get(runId: string, name: string, startIndex?: number): Promise<ReadableStream<Uint8Array>>;
    list(runId: string): Promise<string[]>;
    getChunks(runId: string, name: string, options?: { limit?: number; cursor?: string }): Promise<StreamChunks>;
    getInfo(runId: string, name: string): Promise<StreamInfo>;
  };
  writeToStream(name: string, runId: string | Promise<string>, chunk: StreamChunk): Promise<void>;
  writeToStreamMulti(name: string, runId: string | Promise<string>, chunks: StreamChunk[]): Promise<void>;
  closeStream(name: string, runId: string | Promise<string>): Promise<void>;
  readFromStream(name: string, startIndex?: number): Promise<ReadableStream<Uint8Array>>;
  listStreamsByRunId(runId: string): Promise<string[]>;
  getStreamChunks(name: string, runId: string, options?: { limit?: number; cursor?: string }): Promise<StreamChunks>;
  getStreamInfo(name: string, runId: string): Promise<StreamInfo>;
  /** Begins the background work of this process. May be called again. */
  start(): Promise<void>;
  /** Ends the background work, closes all connections, and fails readers that wait. */
  close(): Promise<void>;
}
