/** Types of the columns whose values are sent to the server as arrays. */
export type ArrayType = 'text' | 'json' | 'int' | 'smallint' | 'bigint' | 'float8' | 'boolean';

/** PostgreSQL's object ids of the element types. They are the same on every server. */
const OIDS: Record<ArrayType, number> = { text: 25, json: 114, int: 23, smallint: 21, bigint: 20, float8: 701, boolean: 16 };

/** Number of bytes of one element. 0 means that the size depends on the value, as for texts. */
const SIZES: Record<ArrayType, number> = { text: 0, json: 0, int: 4, smallint: 2, bigint: 8, float8: 8, boolean: 1 };

const HEADER_BYTES = 20;
const LENGTH_BYTES = 4;

/**
 * Writes one column of the rows as a one-dimensional PostgreSQL array in the binary format. `pg`
 * sends the buffer unchanged. The header contains the number of dimensions, a flag for nulls, the
 * element type, the length and the lower bound. Before each element stands its length, which is -1
 * for null.
 *
 * The text format would leave four times as much memory to the garbage collector, because it quotes
 * every element and copies it twice. The server would also have to parse the text.
 */
export function toBinaryArray(rows: readonly (readonly unknown[])[], column: number, type: ArrayType): Buffer {
  const buffer = Buffer.allocUnsafe(sizeOf(rows, column, type));
  let at = HEADER_BYTES;
  let nulls = 0;
  for (let index = 0; index < rows.length; index++) {
    const value = rows[index]![column];
    if (value === null || value === undefined) {
      nulls = 1;
      at = buffer.writeInt32BE(-1, at);
      continue;
    }
    const start = at + LENGTH_BYTES;
    const end = writeElement(buffer, value, type, start);
    buffer.writeInt32BE(end - start, at);
    at = end;
  }
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(nulls, 4);
  buffer.writeInt32BE(OIDS[type], 8);
  buffer.writeInt32BE(rows.length, 12);
  buffer.writeInt32BE(1, 16);
  return buffer;
}

function sizeOf(rows: readonly (readonly unknown[])[], column: number, type: ArrayType): number {
  const fixed = SIZES[type];
  let size = HEADER_BYTES + rows.length * LENGTH_BYTES;
  for (let index = 0; index < rows.length; index++) {
    const value = rows[index]![column];
    if (value !== null && value !== undefined) size += fixed === 0 ? Buffer.byteLength(value as string) : fixed;
  }
  return size;
}

/**
 * Writes one element into the buffer.
 *
 * @returns the position after the element
 */
function writeElement(buffer: Buffer, value: unknown, type: ArrayType, at: number): number {
  switch (type) {
    case 'text':
    case 'json':
      return at + buffer.write(value as string, at);
    case 'int':
      return buffer.writeInt32BE(value as number, at);
    case 'smallint':
      return buffer.writeInt16BE(value as number, at);
    case 'bigint':
      return buffer.writeBigInt64BE(BigInt(value as string), at);
    case 'float8':
      return buffer.writeDoubleBE(value as number, at);
    case 'boolean':
      return buffer.writeUInt8(value === true ? 1 : 0, at);
  }
}
