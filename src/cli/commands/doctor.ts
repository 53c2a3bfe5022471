import { counted } from '../../core/log-text.js';
import { examine } from '../doctor/examine.js';
import type { Finding, Level } from '../doctor/finding.js';
import { EXIT } from '../exit-codes.js';
import type { Style } from '../printer.js';
import type { Action } from '../action.js';

const STYLES: Readonly<Record<Level, Style>> = { ok: 'green', warn: 'yellow', error: 'red' };

/** Checks the database, and prints what it finds. */
export const doctor: Action = async ({ given, printer, schema, connect }) => {
  const connection = await connect();
  const findings: Finding[] = [];
  const show = async ({ level, code, text, remedy }: Finding): Promise<void> => {
    if (printer.isJson || (level === 'ok' && !given.has('all'))) return;
    await printer.line([level.padEnd(6), STYLES[level]], [code, 'bold'], `  ${text}`);
    if (remedy !== undefined) await printer.line(`      ${remedy}`);
  };
  await examine(connection, schema, {
    begin: (subject) => printer.progress(`checking ${subject} ...`),
    found: async (finding) => {
      findings.push(finding);
      await show(finding);
    },
  });
  const countOf = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  const [errors, warnings] = [countOf('error'), countOf('warn')];
  if (printer.isJson) await printer.document({ isHealthy: errors === 0, errors, warnings, findings });
  else await printer.line(`${counted(findings.length, 'finding')}: ${counted(errors, 'error')}, ${counted(warnings, 'warning')}`);
  return errors === 0 ? EXIT.ok : EXIT.failed;
};
