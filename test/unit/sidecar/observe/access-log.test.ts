import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../../../kit/clock.ts';
import { AccessLog } from '../../../../sidecar/observe/access-log.ts';
import { flag } from '../../../../sidecar/observe/flags.ts';
import type { Outcome } from '../../../../sidecar/observe/outcome.ts';
import { defer } from '../../../support/cleanup.ts';
import { eventually } from '../../../support/eventually.ts';
import { tempFolder } from '../../../support/temp-folder.ts';

const outcome: Outcome = {
  direction: 'outbound',
  protocol: 'http1',
  method: 'GET',
  authority: 'orders',
  path: '/',
  requestId: 'r-1',
  status: 200,
  grpcStatus: undefined,
  flags: 0,
  route: 'HTTPRoute shop/orders #0',
  cluster: 'shop/orders:80',
  endpoint: 'shop/orders.0@n',
  attempts: 1,
  source: '',
  downstreamAddress: '127.0.0.1:5',
  requestBytes: 0,
  responseBytes: 3,
  startedWallMs: 0,
  durationMs: 1.23456,
  firstByteMs: 1,
  detail: '',
};

describe('AccessLog', () => {
  it('writes a line of JSON for each outcome', async (t) => {
    const file = join(tempFolder(t), 'access.log');
    const log = new AccessLog({ file, random: () => 0, clock: systemClock });
    log.write(outcome);
    log.write({ ...outcome, status: 503, flags: flag.noHealthyUpstream | flag.retried });
    await log.close();
    const lines = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ status, flags }) => [status, flags]),
      [
        [200, '-'],
        [503, 'UH,RT'],
      ],
    );
    assert.equal(lines[0].durationMs, 1.235);
    assert.equal(lines[0].time, '1970-01-01T00:00:00.000Z');
  });

  it('takes a caller without mTLS for no error', (t) => {
    const log = new AccessLog({
      file: join(tempFolder(t), 'access.log'),
      random: () => 1,
      clock: systemClock,
    });
    t.after(() => log.close());
    for (const mode of ['errors', 'sampled'] as const) {
      log.mode = mode;
      assert.equal(log.wants(200, flag.plaintext), false);
      assert.equal(log.wants(200, flag.plaintext | flag.retried), true);
      assert.equal(log.wants(503, flag.plaintext), true);
    }
  });

  it('lets no value begin a line of its own', async (t) => {
    const file = join(tempFolder(t), 'access.log');
    const log = new AccessLog({ file, random: () => 0, clock: systemClock });
    log.write({ ...outcome, path: '/\n{"status":200}\r\x1b[2J"' });
    await log.close();
    const text = readFileSync(file, 'utf8');
    assert.equal(text.trim().split('\n').length, 1);
    assert.ok(!text.includes('\x1b'));
  });

  it('drops and counts lines beyond its bound instead of waiting', async (t) => {
    const file = join(tempFolder(t), 'access.log');
    const log = new AccessLog({ file, random: () => 0, clock: systemClock });
    const long = { ...outcome, path: '/'.repeat(2_000) };
    for (let n = 0; n < 2_000; n++) log.write(long);
    await log.close();
    const written = readFileSync(file, 'utf8').trim().split('\n').length;
    assert.ok(log.dropped > 0);
    assert.equal(written + log.dropped, 2_000);
  });

  it('keeps the order over many batches, whatever the length of a line', async (t) => {
    const file = join(tempFolder(t), 'access.log');
    const log = new AccessLog({ file, random: () => 0, clock: systemClock });
    const paths = Array.from({ length: 400 }, (_, n) => `/${n}${'ü€'.repeat(n)}`);
    const long = { route: 'r'.repeat(100_000) };
    for (const [n, path] of paths.entries()) log.write({ ...outcome, path, ...(n === 200 ? long : {}) });
    await log.close();
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).path),
      paths,
    );
    assert.equal(log.dropped, 0);
  });

  it('waits for a pipe whose reader is behind, and tears no line', async (t) => {
    const { file, reader } = namedPipe(t);
    const log = new AccessLog({ file, random: () => 0, clock: systemClock });
    const paths = Array.from({ length: 300 }, (_, n) => `/${n}${'x'.repeat(1_500)}`);
    for (const path of paths) log.write({ ...outcome, path });
    let text = '';
    await eventually(() => {
      text += readAtOnce(reader);
      return text.split('\n').length > paths.length;
    });
    await log.close();
    assert.deepEqual(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).path),
      paths,
    );
    assert.equal(log.dropped, 0);
  });

  it('is closed although nobody reads, and counts every line that is lost', async (t) => {
    const { file, reader } = namedPipe(t);
    const log = new AccessLog({ file, random: () => 0, clock: systemClock });
    const lines = 300;
    for (let n = 0; n < lines; n++) log.write({ ...outcome, path: 'x'.repeat(1_500) });
    await log.close();
    assert.ok(log.dropped > 0);
    const whole = readAtOnce(reader)
      .split('\n')
      .filter((line) => line.endsWith('}'));
    assert.ok(whole.length + log.dropped >= lines);
  });

  it('says which outcomes its mode wants', (t) => {
    const log = new AccessLog({ file: join(tempFolder(t), 'a.log'), random: () => 0.5, clock: systemClock });
    t.after(() => log.close());
    const wanted = (mode: AccessLog['mode']) => {
      log.mode = mode;
      return [log.wants(200, 0), log.wants(200, flag.retried), log.wants(503, 0), log.wants(0, 0)];
    };
    assert.deepEqual(wanted('none'), [false, false, false, false]);
    assert.deepEqual(wanted('errors'), [false, true, true, true]);
    assert.deepEqual(wanted('sampled'), [false, true, true, true]);
    assert.deepEqual(wanted('all'), [true, true, true, true]);
  });
});

/** A pipe with somebody at its other end who has not read yet. */
function namedPipe(t: TestContext) {
  const file = join(tempFolder(t), 'pipe');
  execFileSync('mkfifo', [file]);
  const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  defer(t, () => closeSync(reader));
  return { file, reader };
}

/** What lies in the pipe now. */
function readAtOnce(reader: number): string {
  const bytes = Buffer.alloc(1 << 20);
  try {
    return bytes.toString('utf8', 0, readSync(reader, bytes));
  } catch {
    return '';
  }
}
