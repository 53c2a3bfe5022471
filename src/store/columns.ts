import type { ArrayType } from './binary-array.js';

/** Names and types of the columns of one kind of rows. */
export type Columns = readonly (readonly [name: string, type: ArrayType])[];

interface ColumnValues {
  text: string;
  json: string;
  int: number;
  smallint: number;
  bigint: string;
  float8: number;
  boolean: boolean;
}

/** Values of a row, in the order of its columns. */
export type Row<C extends Columns> = {
  readonly [Index in keyof C]: C[Index] extends readonly [string, infer Type extends ArrayType] ? ColumnValues[Type] | null : never;
};

/**
 * Columns of the run to which a row belongs. A flush writes the row only while the run has this
 * epoch, that is, while this process owns the run.
 */
export const OWNER = [
  ['run_id', 'text'],
  ['epoch', 'int'],
] as const;
