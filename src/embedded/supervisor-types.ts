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

/** Settings that an application sends as JSON to the supervisor that it starts. */
export interface SupervisorSettings {
  /**
   * Directory that contains the cluster, its log, its password and the lock files of supervisors.
   */
  readonly directory: string;
  /** True when the directory is removed after the last application has left. */
  readonly temporary: boolean;
  /** Path of the folder `native` in the platform's package. */
  readonly native: string;
  readonly user: ServerUser | null;
  /** Settings of PostgreSQL as `name=value`, for the server's command line. */
  readonly serverSettings: readonly string[];
  /** Number of the lock file to create: the number of the dead supervisor's lock plus one. */
  readonly lock: number;
  /**
   * True when applications already know the server's URL. The server must then keep its port and
   * its data.
   */
  readonly resume: boolean;
}

/**
 * Modules and values that the supervisor's code may use. The code runs from its source text, so it
 * has no access to the imports and globals of its module.
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
   * Starts the server and returns its URL. Creates the cluster if needed. Takes over the server
   * instead if it is already running.
   */
  start(resume: boolean): Promise<string>;
  stop(): Promise<void>;
  /** Makes a start in progress fail soon. */
  abort(): void;
  /** Called when the server ends although nobody asked it to stop. */
  onCrash: () => void;
}

/**
 * Content of a supervisor's lock file: the supervisor's port and process id, and a secret token.
 * The token is known only to the supervisor and to users who may read the file.
 */
export interface LockContent {
  readonly port: number;
  readonly token: string;
  readonly pid: number;
}

/**
 * Messages from a supervisor to an application, one JSON text per line. The application sends a
 * nonce, and the supervisor answers `hello` with its proof. The application then sends its own
 * proof, and `bye` at the end. A proof is the HMAC of role, port and both nonces, with the lock's
 * token as the key. The token itself is never sent. Another program at the port therefore learns
 * nothing, and cannot forward a proof from another port.
 */
export type SupervisorMessage =
  | { readonly state: 'hello'; readonly nonce: string; readonly proof: string }
  | { readonly state: 'starting' }
  | { readonly state: 'ready'; readonly url: string }
  | { readonly state: 'failed'; readonly message: string }
  | { readonly state: 'closing' };

/**
 * Exit code of a supervisor that ends because another supervisor has created its lock file first.
 */
export const LOST_THE_LOCK = 3;
