import { InvalidInputError, StreamClosedError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { DEFAULT_STREAM, MAX_CHUNK_BYTES, type WorkflowStream } from '../core/stream.js';
import { executionScope, type CurrentStep } from './current.js';
import type { PassHandle } from './pass-handle.js';
import type { ChunkAuthor } from './stream-port.js';

/**
 * Counts the writes of `run` to each stream. The counts are the same in every pass, so a repeated
 * write is recognized by its position.
 */
export class StreamPositions {
  private readonly last = new Map<string, number>();

  constructor(
    /** A retry by an operator may change what `run` writes, so it starts a new count. */
    readonly generation: number,
  ) {}

  next(stream: string): ChunkAuthor {
    const position = (this.last.get(stream) ?? 0) + 1;
    this.last.set(stream, position);
    return { by: 'run', generation: this.generation, position };
  }
}

/** Common part of the streams of `run` and of steps. */
abstract class PassStream<T> implements WorkflowStream<T> {
  readonly name: string;
  // Private in JavaScript too: a stream that is logged by mistake must not include the pass.
  readonly #pass: PassHandle;

  constructor(pass: PassHandle, name: string | undefined) {
    this.#pass = pass;
    this.name = name === undefined ? DEFAULT_STREAM : checkText(name, 'name');
  }

  write(value: T): Promise<void> {
    return handled(() => {
      const { payloads } = this.#pass.settings;
      const data = payloads.encode(value, `chunk of stream "${this.name}"`, this.#pass.run.id, 'chunk', MAX_CHUNK_BYTES);
      return this.append(this.#pass, 'data', data);
    });
  }

  writeAll(source: AsyncIterable<T>): Promise<T[]> {
    return handled(async () => {
      if (typeof (source as Partial<AsyncIterable<T>> | null | undefined)?.[Symbol.asyncIterator] !== 'function')
        throw new InvalidInputError('source', 'must be an async iterable, such as a ReadableStream');
      const values: T[] = [];
      for await (const value of source) {
        await this.write(value);
        values.push(value);
      }
      return values;
    });
  }

  flush(): Promise<void> {
    return handled(() => this.settled(this.#pass));
  }

  close(): Promise<void> {
    return handled(async () => {
      await this.append(this.#pass, 'end', null);
      await this.settled(this.#pass);
    });
  }

  protected abstract append(pass: PassHandle, kind: 'data' | 'end', data: string | null): Promise<void>;
  protected abstract settled(pass: PassHandle): Promise<void>;
}

/** Stream to which the body of a step writes. */
export class StepStream<T> extends PassStream<T> {
  readonly #step: CurrentStep & { readonly isOver: boolean };

  constructor(pass: PassHandle, step: CurrentStep & { readonly isOver: boolean }, name: string | undefined) {
    super(pass, name);
    this.#step = step;
  }

  protected append(pass: PassHandle, kind: 'data' | 'end', data: string | null): Promise<void> {
    this.assertActive();
    const { stepKey, attempt } = this.#step;
    return pass.effects.streams.write({
      stream: this.name,
      kind,
      data,
      author: { by: 'step', stepKey, attempt, execution: this.#step },
      accept: 'checked',
    });
  }

  protected settled(pass: PassHandle): Promise<void> {
    this.assertActive();
    return pass.effects.streams.flush(this.name, 'step');
  }

  private assertActive(): void {
    const { isOver, attempt, stepKey } = this.#step;
    if (isOver) throw new StreamClosedError(this.name, `attempt ${attempt} of step "${stepKey}" is over`);
  }
}

/** Stream to which `run` writes. In the body of a step, the chunks belong to the step. */
export class RunStream<T> extends PassStream<T> {
  readonly #positions: StreamPositions;

  constructor(pass: PassHandle, positions: StreamPositions, name: string | undefined) {
    super(pass, name);
    this.#positions = positions;
  }

  override write(value: T): Promise<void> {
    return this.ofStep()?.write(value) ?? super.write(value);
  }

  override flush(): Promise<void> {
    return this.ofStep()?.flush() ?? super.flush();
  }

  override close(): Promise<void> {
    return this.ofStep()?.close() ?? super.close();
  }

  protected append(pass: PassHandle, kind: 'data' | 'end', data: string | null): Promise<void> {
    if (pass.isClosed) return new Promise(() => undefined);
    const accept = pass.isReplaying ? 'atOnce' : 'checked';
    return pass.effects.streams.write({ stream: this.name, kind, data, author: this.#positions.next(this.name), accept });
  }

  protected settled(pass: PassHandle): Promise<void> {
    return pass.isClosed ? new Promise(() => undefined) : pass.effects.streams.flush(this.name, 'run');
  }

  private ofStep(): WorkflowStream<T> | undefined {
    return executionScope.getStore()?.step?.stream<T>(this.name);
  }
}

/**
 * Starts an operation. An error becomes a rejection, which ends the process only if nothing
 * handles it: without this handler, a write that the code does not await could end the process.
 */
function handled<R>(start: () => Promise<R>): Promise<R> {
  const promise = (async () => start())();
  promise.catch(() => undefined);
  return promise;
}
