import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

type ChildFile = 'echo' | 'installed' | 'io' | 'memory' | 'proxy' | 'victim' | 'worker';

/** A process of its own; it ends itself when this one is gone. */
export interface Child {
  /** The next message that it sends. */
  message<T>(): Promise<T>;
  /** Sends a question, and returns the next message of the child. */
  ask<T>(question: string): Promise<T>;
  kill(): Promise<void>;
}

export interface ChildOptions {
  /** Environment variables beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Options of Node; by default those of this process. */
  readonly node?: readonly string[];
}

/** Settings of a process as in production. Some defaults of the package depend on NODE_ENV. */
export const IN_PRODUCTION: ChildOptions = { env: { NODE_ENV: 'production' }, node: [] };

export function startChild(file: ChildFile, args: readonly string[], { env, node = process.execArgv }: ChildOptions = {}): Child {
  const child = fork(fileURLToPath(new URL(`./${file}.js`, import.meta.url)), [...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
    execArgv: [...node],
  });
  const ended = once(child, 'exit');
  const message = <T>(): Promise<T> => {
    const gone = ended.then(() => {
      throw new Error(`${file} ended before it answered`);
    });
    return Promise.race([once(child, 'message').then(([message]) => message as T), gone]);
  };
  return {
    message,
    ask<T>(question: string): Promise<T> {
      const answer = message<T>();
      child.send(question);
      return answer;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** In the child: ends this process with its parent. */
export function endWithParent(): void {
  process.on('disconnect', () => process.exit(1));
}

/** In the child: returns the next question of the parent. */
export async function nextQuestion(): Promise<string> {
  const [question] = (await once(process, 'message')) as [string];
  return question;
}

/** In the child: tells the parent something. */
export function tellParent(message: unknown): void {
  process.send!(message);
}
