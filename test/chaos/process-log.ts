import type { LoggerService } from '@nestjs/common';

/** A line for the driver, which reads what its processes print. */
export function say(line: string): void {
  process.stdout.write(`${line.replaceAll('\n', ' |')}\n`);
}

/** A message for the driver; lost when it is gone. */
export function send<Message extends object>(message: Message): void {
  process.send?.(message, undefined, undefined, () => undefined);
}

/** Says what nobody has caught, and ends with the driver. */
export function reportTroubles(): void {
  process.on('disconnect', () => process.exit(1));
  process.on('unhandledRejection', (error) => say(`UNHANDLED ${error instanceof Error ? error.stack : String(error)}`));
  process.on('uncaughtException', (error) => {
    say(`UNCAUGHT ${error.stack}`);
    process.exit(1);
  });
  process.on('warning', (warning) => say(`WARNING ${warning.stack}`));
}

/** Prints the warnings of the module. */
export const logger: LoggerService = {
  log: () => undefined,
  warn: (message: string) => say(`WARN ${message}`),
  error: (message: string, ...rest: unknown[]) => say(`ERROR ${message} ${rest.map(String).join(' ')}`),
};
