/** What a command may touch; the program passes its own process, tests their fakes. */
import type { Clock } from '../../kit/clock.ts';
import type { PilotClient } from './client.ts';

export interface CommandIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  out(text: string): void;
  /** Warnings and failures. */
  err(text: string): void;
  /** Standard input to its end. */
  readInput(): string;
}

export interface CommandContext {
  readonly io: CommandIo;
  readonly client: PilotClient;
}
