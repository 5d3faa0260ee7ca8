/**
 * Process logs: a fixed message with fields, one JSON line each, by pino.
 * pino is loaded at the first line that is really written, so that a quiet sidecar never loads it.
 */
import { createRequire } from 'node:module';
import type { Logger } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with fields added to every line. */
  with(fields: LogFields): Log;
}

export interface LogOptions {
  /** Which program speaks: `sidecar`, `agent`, `pilot`. */
  readonly program: string;
  readonly level: LogLevel;
  /** The file descriptor written to; 2 by default, so that stdout stays for results. */
  readonly fd?: number;
}

const rank: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export function createLog(options: LogOptions): Log {
  let logger: Logger | undefined;
  const open = (): Logger => {
    logger ??= loadPino()(
      { level: options.level, base: { program: options.program, pid: process.pid }, messageKey: 'message' },
      loadPino().destination({ dest: options.fd ?? 2, sync: true }),
    );
    return logger;
  };
  return bind(options.level, {}, (level, message, fields) => open()[level](fields, message));
}

/** A log that keeps nothing, for tests and tools. */
export const silentLog: Log = bind('error', {}, () => {});

type Write = (level: LogLevel, message: string, fields: LogFields) => void;

function bind(threshold: LogLevel, bound: LogFields, write: Write): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (rank[level] >= rank[threshold]) write(level, message, { ...bound, ...fields });
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => bind(threshold, { ...bound, ...fields }, write),
  };
}

let pinoModule: typeof import('pino').pino | undefined;

function loadPino(): typeof import('pino').pino {
  pinoModule ??= (createRequire(import.meta.url)('pino') as typeof import('pino')).pino;
  return pinoModule;
}
