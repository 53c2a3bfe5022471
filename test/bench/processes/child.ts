import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A process of its own; it ends itself when this one is gone. */
export interface Child {
  /** The next message that it sends. */
  message<T>(): Promise<T>;
  kill(): Promise<void>;
}

export function startChild(file: 'proxy' | 'victim', args: readonly string[]): Child {
  const child = fork(fileURLToPath(new URL(`./${file}.js`, import.meta.url)), [...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  return {
    message<T>(): Promise<T> {
      const gone = ended.then(() => {
        throw new Error(`${file} ended before it answered`);
      });
      return Promise.race([once(child, 'message').then(([message]) => message as T), gone]);
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

/** In the child: tells the parent something. */
export function tellParent(message: unknown): void {
  process.send!(message);
}
