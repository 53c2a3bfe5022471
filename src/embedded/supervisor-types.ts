import type childProcess from 'node:child_process';
import type crypto from 'node:crypto';
import type fs from 'node:fs';
import type net from 'node:net';
import type path from 'node:path';

/** Unprivileged user that the server runs as, because PostgreSQL refuses to run as root. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** Settings that an application process sends, as JSON, to the supervisor that it starts. */
export interface SupervisorSettings {
  /** Directory of the cluster, its log, its password and the supervisors' locks. */
  readonly directory: string;
  /** True when the directory is removed after the last application has left. */
  readonly temporary: boolean;
  /** Path of the platform package's `native` folder. */
  readonly native: string;
  readonly user: ServerUser | null;
  /** Settings as `name=value`, for the server's command line. */
  readonly serverSettings: readonly string[];
  /** Number of the lock to take: the dead supervisor's number plus one. */
  readonly lock: number;
  /**
   * True when applications hold the server's URL already, so that neither its port nor its data may
   * change.
   */
  readonly resume: boolean;
}

/**
 * Modules and values that the supervisor's code may use. The code sees no imports and no globals of
 * its module.
 */
export interface SupervisorContext {
  readonly fs: typeof fs;
  readonly path: typeof path;
  readonly net: typeof net;
  readonly crypto: typeof crypto;
  readonly childProcess: typeof childProcess;
  readonly process: NodeJS.Process;
  readonly settings: SupervisorSettings;
}

/** Database server of one directory. */
export interface Cluster {
  /**
   * Starts the server and returns its URL. Creates the cluster if needed. A server that already
   * runs here is taken over.
   */
  start(resume: boolean): Promise<string>;
  stop(): Promise<void>;
  /** Makes a start in progress fail soon. */
  abort(): void;
  /** Called when the server ends without a request to stop. */
  onCrash: () => void;
}

/**
 * Content of a supervisor's lock file: its port, and the secret that it shares with everyone who
 * may read the file.
 */
export interface LockContent {
  readonly port: number;
  readonly token: string;
  readonly pid: number;
}

/**
 * Messages of a supervisor to an application, one JSON text per line. The application sends a
 * nonce. The supervisor answers `hello` with its proof, the application sends its own proof, and at
 * the end `bye`. A proof is the HMAC of role, port and both nonces under the lock's token, which
 * never leaves either process. A stranger at that port learns nothing, and cannot forward a proof
 * from another port.
 */
export type SupervisorMessage =
  | { readonly state: 'hello'; readonly nonce: string; readonly proof: string }
  | { readonly state: 'starting' }
  | { readonly state: 'ready'; readonly url: string }
  | { readonly state: 'failed'; readonly message: string }
  | { readonly state: 'closing' };

/** Exit code of a supervisor that found another supervisor in its place. */
export const LOST_THE_LOCK = 3;
