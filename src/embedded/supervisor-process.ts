import { spawn } from 'node:child_process';
import { parse } from 'node:path';
import { WorkflowConfigurationError } from '../core/errors/index.js';
import { clusterOf } from './supervisor-cluster.js';
import { supervise } from './supervisor-main.js';
import { LOST_THE_LOCK, type SupervisorSettings } from './supervisor-types.js';

/**
 * Program that reads the supervisor's source text from the first line of stdin. The command line
 * therefore stays short, and its comment identifies the process in the output of `ps`.
 */
const BOOTSTRAP = `/* the supervisor of nestjs-durable's embedded PostgreSQL */
let text = "";
process.stdin.on("data", function read(chunk) {
  text += chunk;
  if (!text.endsWith("\\n")) return;
  process.stdin.off("data", read).resume();
  const { program, settings } = JSON.parse(text);
  new Function("require", "process", "settings", program)(require, process, settings);
});`;

/**
 * Returns the supervisor's source text. A file of this package might not be found, because the
 * package may have been bundled, or loaded as CommonJS. The supervisor is therefore not started
 * from a file.
 */
function program(): string {
  const modules = { fs: 'fs', path: 'path', net: 'net', crypto: 'crypto', childProcess: 'child_process' };
  const context = Object.entries(modules).map(([name, module]) => `${name}: require("node:${module}")`);
  return `"use strict";
const context = { ${context.join(', ')}, process, settings };
(${String(supervise)})(context, (${String(clusterOf)})(context));`;
}

/** Environment variables that programs need on Linux, macOS and Windows. */
const ALLOWED_VARIABLES = new Set(
  [
    ['PATH', 'HOME', 'USER', 'LOGNAME', 'TMPDIR', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH'],
    ['SYSTEMROOT', 'SYSTEMDRIVE', 'WINDIR', 'COMSPEC', 'PATHEXT', 'TEMP', 'TMP', 'USERPROFILE', 'APPDATA', 'LOCALAPPDATA', 'PROGRAMDATA'],
  ].flat(),
);

/**
 * Returns the environment of the supervisor and its server. Leaves out the application's secrets,
 * because the server may run as another user, who can read the environment of its processes. Leaves
 * out variables that control Node, Jest or libpq, too.
 */
function environment(): NodeJS.ProcessEnv {
  // Names are case-insensitive on Windows.
  const entries = Object.entries(process.env).filter(([name]) =>
    ALLOWED_VARIABLES.has(process.platform === 'win32' ? name.toUpperCase() : name),
  );
  return { ...Object.fromEntries(entries), LC_ALL: 'C' };
}

/**
 * Starts a supervisor, which waits for this process to connect.
 *
 * @returns a function to call after connecting: from then on, this process may end while the
 *   supervisor keeps running. Undefined when the supervisor of another process had started first.
 */
export async function startSupervisor(settings: SupervisorSettings): Promise<(() => void) | undefined> {
  const child = spawn(process.execPath, ['-e', BOOTSTRAP], {
    cwd: parse(settings.directory).root,
    // Give the supervisor a session of its own, so that Ctrl-C at a terminal reaches only the
    // application.
    detached: true,
    env: environment(),
    stdio: ['pipe', 'pipe', 'pipe'],
    windowsHide: true,
  });
  const detach = (): void => {
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
    // Let this process end although the supervisor is still running.
    child.unref();
  };
  let errorOutput = '';
  child.stdin.on('error', () => undefined);
  child.stderr.on('data', (chunk: Buffer) => {
    errorOutput = (errorOutput + chunk.toString()).slice(-4000);
  });
  try {
    const isListening = await new Promise<boolean>((resolve, reject) => {
      child.once('error', reject);
      child.stdout.once('data', () => resolve(true));
      child.once('close', (code, signal) => {
        if (code === LOST_THE_LOCK) resolve(false);
        else
          reject(new WorkflowConfigurationError(`The embedded PostgreSQL's supervisor ended (${code ?? signal}): ${errorOutput.trim()}`));
      });
      child.stdin.write(`${JSON.stringify({ program: program(), settings })}\n`);
    });
    if (isListening) return detach;
  } catch (error) {
    detach();
    throw error;
  }
  detach();
  return undefined;
}
