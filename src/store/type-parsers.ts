import type pg from 'pg';

type Parser = (text: string) => unknown;

const asNumber: Parser = Number;
const asText: Parser = (text) => text;
const asBoolean: Parser = (text) => text === 't' || text === 'true';
const asJson: Parser = (text) => JSON.parse(text) as unknown;

/**
 * Parsers by the oid of the type, for the types that the module reads. Values of other types stay
 * text.
 */
const PARSERS = new Map<number, Parser>([
  [16, asBoolean],
  // int2, int4, oid, float4, float8. int8 and numeric stay text, because a number cannot hold all
  // their values.
  ...[21, 23, 26, 700, 701].map((oid): [number, Parser] => [oid, asNumber]),
  // json, jsonb
  ...[114, 3802].map((oid): [number, Parser] => [oid, asJson]),
  // timestamp, timestamptz
  ...[1114, 1184].map((oid): [number, Parser] => [oid, parseTimestamp]),
  [1000, arrayOf(asBoolean)],
  // int2[], int4[], oid[], float4[], float8[]
  ...[1005, 1007, 1028, 1021, 1022].map((oid): [number, Parser] => [oid, arrayOf(asNumber)]),
  // name[], text[], varchar[], int8[], numeric[]
  ...[1003, 1009, 1015, 1016, 1231].map((oid): [number, Parser] => [oid, arrayOf(asText)]),
]);

/**
 * Parsers of the module's own connections. The application may replace the process-wide parsers
 * (`pg.types.setTypeParser`), for example to get `Decimal` or `BigInt`. The values that the module
 * reads must not change because of that.
 */
export const OWN_TYPES: pg.CustomTypesConfig = {
  getTypeParser: (oid: number): Parser => PARSERS.get(oid) ?? asText,
};

const TIMESTAMP = /^(\d{4,6}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:([+-]\d\d)(?::?(\d\d))?(?::?\d\d)?)?$/;

/** Reads a time in ISO format. Returns null for other formats, as pg does. */
function parseTimestamp(text: string): Date | number | null {
  if (text === 'infinity') return Infinity;
  if (text === '-infinity') return -Infinity;
  const [, day, time, hours, minutes = '00'] = TIMESTAMP.exec(text) ?? [];
  if (day === undefined) return null;
  const year = day.indexOf('-') > 4 ? `+${day.padStart(12, '0')}` : day;
  return new Date(`${year}T${time}${hours === undefined ? '' : `${hours}:${minutes}`}`);
}

/** Creates a parser for arrays of one dimension. */
function arrayOf(parse: Parser): Parser {
  return (text) => {
    const items: unknown[] = [];
    // Each match is one element. It is either bare, or quoted with a backslash before each quote
    // and backslash.
    for (const [, quoted, bare] of text.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|([^,]+)/gs)) {
      if (quoted !== undefined) items.push(parse(quoted.replaceAll(/\\(.)/gs, '$1')));
      else items.push(bare === 'NULL' ? null : parse(bare!));
    }
    return items;
  };
}
