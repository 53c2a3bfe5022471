import type childProcess from 'node:child_process';
import type crypto from 'node:crypto';
import type fs from 'node:fs';
import type net from 'node:net';
import type path from 'node:path';

/** The unprivileged user that the server runs as; PostgreSQL refuses to run as root. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** What an application process tells the supervisor that it starts. Travels as JSON. */
export interface SupervisorSettings {
  /** Holds the cluster, its log, its password and the supervisors' locks. */
  readonly directory: string;
  /** The directory goes when the last application has gone. */
  readonly temporary: boolean;
  /** The platform package's `native` folder. */
  readonly native: string;
  readonly user: ServerUser | null;
  /** `name=value`, for the server's command line. */
  readonly serverSettings: readonly string[];
  /** The number of the lock to take: the one after the dead supervisor's. */
  readonly lock: number;
  /** Applications hold the server's URL already: neither its port nor its data may change. */
  readonly resume: boolean;
}

/** Everything that the supervisor's code may touch; it sees no import and no global of its module. */
export interface SupervisorContext {
  readonly fs: typeof fs;
  readonly path: typeof path;
  readonly net: typeof net;
  readonly crypto: typeof crypto;
  readonly childProcess: typeof childProcess;
  readonly process: NodeJS.Process;
  readonly settings: SupervisorSettings;
}

/** The database server of one directory. */
export interface Cluster {
  /** Starts it, creating it before if need be; a server that runs here already is taken over. Gives its URL. */
  start(resume: boolean): Promise<string>;
  stop(): Promise<void>;
  /** Makes a start under way fail soon. */
  abort(): void;
  /** Called when the server ends without having been asked to. */
  onCrash: () => void;
}

/** A supervisor's lock file: where it listens, and the secret that it shares with whoever may read the file. */
export interface LockContent {
  readonly port: number;
  readonly token: string;
  readonly pid: number;
}

/**
 * The messages of a supervisor to an application, one JSON per line. The application sends a nonce, the supervisor answers `hello` with its
 * proof, the application sends its own proof, and in the end `bye`. A proof is the HMAC of role, port and both nonces under the lock's token,
 * which never leaves either process: a stranger at that port learns nothing, and cannot pass a proof on from another port.
 */
export type SupervisorMessage =
  | { readonly state: 'hello'; readonly nonce: string; readonly proof: string }
  | { readonly state: 'starting' }
  | { readonly state: 'ready'; readonly url: string }
  | { readonly state: 'failed'; readonly message: string }
  | { readonly state: 'closing' };

/** The exit code of a supervisor that found another one in its place. */
export const LOST_THE_LOCK = 3;
