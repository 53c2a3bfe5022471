import { accessSync, constants } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

export interface PeerArguments {
  /** Runs of one burst. */
  readonly runs: number;
  readonly rounds: number;
  /** Names of systems; undefined for all. */
  readonly only: readonly string[] | undefined;
  /** The file that receives the numbers as JSON. */
  readonly json: string | undefined;
  /** True when the folder with the installed systems stays. */
  readonly keep: boolean;
  readonly absurdSchema: string | undefined;
  hasProgram(name: string): boolean;
}

/** @throws Error saying what cannot be understood */
export function readPeerArguments(args: readonly string[], names: readonly string[]): PeerArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: 'string', default: '2000' },
      rounds: { type: 'string', default: '3' },
      only: { type: 'string' },
      json: { type: 'string' },
      keep: { type: 'boolean', default: false },
      'absurd-schema': { type: 'string' },
    },
  });
  const only = values.only?.split(',').map((name) => name.trim());
  const unknown = only?.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: the systems are ${names.join(', ')}`);
  const schema = values['absurd-schema'];
  return {
    runs: positive('--runs', values.runs),
    rounds: positive('--rounds', values.rounds),
    only,
    json: values.json,
    keep: values.keep,
    absurdSchema: schema === undefined ? undefined : resolve(schema),
    hasProgram,
  };
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${option} ${text}: give a number from 1`);
  return value;
}

function hasProgram(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
