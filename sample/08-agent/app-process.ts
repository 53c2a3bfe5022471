import { fork, type ChildProcess } from 'node:child_process';

export interface AppOptions {
  readonly databaseUrl: string;
  readonly modelUrl: string;
}

/** A child process that executes server.ts. */
export class AppProcess {
  /** Resolves when the process has ended. */
  readonly exited: Promise<void>;

  private constructor(
    private readonly child: ChildProcess,
    /** URL of the application. */
    readonly url: string,
  ) {
    this.exited = new Promise((resolve) => child.once('exit', () => resolve()));
  }

  /**
   * Starts the application. Resolves when it serves requests.
   *
   * @param port port of the application; 0 for a free one
   */
  static async start({ databaseUrl, modelUrl }: AppOptions, port: number): Promise<AppProcess> {
    const env = { ...process.env, DATABASE_URL: databaseUrl, MODEL_URL: modelUrl, PORT: String(port) };
    const child = fork(new URL('./server.js', import.meta.url), { env });
    const url = await new Promise<string>((resolve, reject) => {
      child.once('message', (message) => resolve(message as string));
      child.once('error', reject);
      child.once('exit', (code, signal) =>
        reject(new Error(`The application ended before it served requests: ${signal ?? `exit ${code}`}`)),
      );
    });
    return new AppProcess(child, url);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Ends the process. Resolves when the process has ended. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.child.kill(signal);
    await this.exited;
  }
}
