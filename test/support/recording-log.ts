/** A log that keeps its lines, for tests that assert what an operator would read. */
import type { Log, LogFields, LogLevel } from '../../kit/log.ts';

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

export interface RecordingLog extends Log {
  readonly lines: LogLine[];
}

export function recordingLog(bound: LogFields = {}, lines: LogLine[] = []): RecordingLog {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      lines.push({ level, message, fields: { ...bound, ...fields } });
    };
  return {
    lines,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => recordingLog({ ...bound, ...fields }, lines),
  };
}
