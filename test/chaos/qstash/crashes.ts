import { createHash } from 'node:crypto';

import { currentStep } from 'nestjs-durable';
import type pg from 'pg';

import type { Mishap } from '../workflows.js';

export const CRASHES_TABLE = 'CREATE TABLE crashes (step text PRIMARY KEY, pid int, moment text, at timestamptz DEFAULT clock_timestamp())';

/** Share of step attempts that kill their process. */
const SHARE = 0.02;
/** `late`: when the body has returned, and what it returned may be on its way to the database. */
const MOMENTS = ['before', 'after', 'late'] as const;

/**
 * Lets the seed decide which attempts kill their process, and when. Each does so once: a run that
 * always killed its process would be given up.
 */
export function crashBySeed(seed: number, pool: pg.Pool): Mishap {
  return async (now) => {
    const { idempotencyKey, attempt } = currentStep();
    const step = `${idempotencyKey} ${attempt}`;
    const digest = createHash('sha256').update(`${seed} ${step}`).digest();
    if (digest.readUInt32BE(0) / 4_294_967_296 >= SHARE) return;
    const moment = MOMENTS[digest.readUInt8(4) % MOMENTS.length]!;
    if (now !== (moment === 'before' ? 'before' : 'after')) return;
    const { rowCount } = await pool.query('INSERT INTO crashes (step, pid, moment) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [
      step,
      process.pid,
      moment,
    ]);
    if (rowCount === 0) return;
    if (moment === 'late') return void setTimeout(die, digest.readUInt8(5) % 5);
    die();
    // Nothing more comes to pass here.
    await new Promise(() => undefined);
  };
}

const die = (): void => void process.kill(process.pid, 'SIGKILL');
