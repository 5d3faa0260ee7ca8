/** A real certificate authority on memory, with a clock turned by hand. */
import type { TestContext } from 'node:test';
import { type AuthorityOptions, type CertificateAuthority, openAuthority } from '../../certs/authority.ts';
import { defer } from './cleanup.ts';
import { FakeClock } from './fake-clock.ts';
import { MemoryRecordStorage } from './memory-record-storage.ts';
import { type RecordingLog, recordingLog } from './recording-log.ts';

export interface TestAuthority {
  readonly authority: CertificateAuthority;
  readonly storage: MemoryRecordStorage;
  readonly clock: FakeClock;
  readonly log: RecordingLog;
}

export const testSecret = Buffer.from('a secret of thirty-two bytes or more');

export async function testAuthority(
  t: Pick<TestContext, 'after'>,
  options: Partial<AuthorityOptions> & {
    readonly records?: MemoryRecordStorage;
    readonly fake?: FakeClock;
  } = {},
): Promise<TestAuthority> {
  const storage = options.records ?? new MemoryRecordStorage();
  const clock = options.fake ?? new FakeClock(Date.now());
  const log = recordingLog();
  const authority = await openAuthority({
    trustDomain: 'mesh.test',
    storage: storage.forCa(),
    secret: testSecret,
    clock,
    log,
    ...options,
  });
  defer(t, () => authority.close());
  return { authority, storage, clock, log };
}
