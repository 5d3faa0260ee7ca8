/**
 * Every vector of `test/data/h1.jsonl`, and of ours in `h1-own.jsonl`, through a real sidecar, in plaintext and over TLS:
 * what is refused is refused before an upstream sees a byte, what passes arrives canonical, whatever the pieces that it
 * comes in.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { seededRandom } from '../../kit/random.ts';
import { defer, type Scope, suiteScope } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { fieldOf, type RawMessage, statusOf } from '../support/raw-http.ts';
import { plainAnswer, RawClient, RecordingUpstream } from '../support/raw-peers.ts';
import { describePair, startStaticSide } from '../support/static-pair.ts';
import { startTlsRelay } from '../support/tls-relay.ts';

type Verdict = 'reject-400' | 'reject-other' | 'forward' | 'forward-normalised' | 'close-after';

interface Vector {
  readonly id: string;
  readonly side: 'req' | 'resp';
  readonly cat: string;
  readonly bytes: string;
  readonly expect: Verdict;
  readonly why: string;
  readonly status?: number | 'close';
  readonly also?: readonly (number | string)[];
  readonly pad?: { readonly at: number; readonly str: string; readonly count: number };
  readonly eof?: boolean;
  readonly hang?: boolean;
  readonly slow?: { readonly str: string };
  /** What the client sends where the vector is a response. */
  readonly req?: string;
  // Only in our own:
  /** How many requests it holds that are answered with 200; one where this is not said. */
  readonly requests?: number;
  /** How what follows them is refused. */
  readonly refused?: number;
  /** What the upstream gets of the first. */
  readonly arrives?: Content & { readonly start?: string };
  /** What the client gets. */
  readonly answer?: Content;
  /** The upstream connection is not used again. */
  readonly poisons?: boolean;
}

interface Content {
  readonly body?: string;
  /** By name; null: absent. */
  readonly fields?: Readonly<Record<string, string | null>>;
  /** All of them. */
  readonly trailers?: Readonly<Record<string, string>>;
}

interface Split {
  readonly name: string;
  cut(bytes: string): string[];
}

/** The sidecar under test, with timers short enough that the slow vectors are soon over. */
const timers = { headMs: 1000, bodyMs: 300 };
const responseMs = 1000;
const servedPort = 8080;

const shared = vectorsIn('test/data/h1.jsonl');
const own = vectorsIn('test/data/h1-own.jsonl');
const vectors = [...shared, ...own];
/** Vectors with more than this are not sent byte by byte. */
const maxBytewise = 2000;
const defaultRequest = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
/** Shared vectors that hold a second request which is to be answered too. */
const pipelined = new Set([
  'ok-pipeline2',
  'ck-pipeline-after',
  'cl0-body',
  'up-ws-then-req',
  'up-ws-badver',
]);
/** Faults of a body: its head may have gone on. */
const bodyFaults = new Set(['chunk', 'body']);

let upstream: RecordingUpstream;
let port = 0;

const random = seededRandom(20260821);
const whole: Split = { name: 'whole', cut: (bytes) => [bytes] };
const inTwo: Split = { name: 'in two', cut: (bytes) => cutAt(bytes, random, 1) };
const allSplits: readonly Split[] = [
  whole,
  {
    name: 'byte by byte',
    cut: (bytes) => (bytes.length > maxBytewise ? cutAt(bytes, random, 9) : [...bytes]),
  },
  inTwo,
  { name: 'in random pieces', cut: (bytes) => cutAt(bytes, random, 5) },
];

describeVectors('in plaintext', {
  splitsFor: () => allSplits,
  start: async (t) => (await startSidecar(t)).port,
});
describeVectors('over TLS', {
  splitsFor: (vector) => (own.includes(vector) ? [whole] : [whole, inTwo]),
  start: async (t) => {
    const { port, trustBundle } = await startSidecar(t);
    return startTlsRelay(t, { port, serverName: 'localhost', trustBundle, protocol: 'http/1.1' });
  },
});

interface Door {
  splitsFor(vector: Vector): readonly Split[];
  readonly start: (t: Scope) => Promise<number>;
}

function describeVectors(name: string, { splitsFor, start }: Door): void {
  describe(`HTTP/1.1 ${name}`, () => {
    const scope = suiteScope();
    before(async () => {
      upstream = await new RecordingUpstream().listen();
      const recorder = upstream;
      defer(scope, () => recorder.close());
      port = await start(scope);
    });
    for (const vector of vectors.filter((each) => each.side === 'req')) {
      it(`request ${vector.id}: ${vector.why}`, async () => {
        for (const split of splitsFor(vector)) {
          await note(`${split.name}`, () => runRequest(vector, split.cut(paddedBytes(vector)), false));
        }
        await note('second on its connection', () => runRequest(vector, [paddedBytes(vector)], true));
      });
    }
    for (const vector of vectors.filter((each) => each.side === 'resp')) {
      it(`response ${vector.id}: ${vector.why}`, async () => {
        const waits = vector.hang === true || vector.bytes === '';
        for (const split of waits ? [whole] : splitsFor(vector))
          await note(split.name, () => runResponse(vector, split));
      });
    }
  });
}

async function startSidecar(t: Scope): Promise<{ port: number; trustBundle: string }> {
  const served = { port: servedPort, appPort: upstream.port, protocol: 'http', mtls: 'permissive' } as const;
  const pair = await describePair({ ports: [served], timeouts: { requestMs: responseMs } });
  const { mesh, receiver } = pair;
  const { trustBundle } = await mesh.bundle('shop');
  const bootstrap = {
    ...receiver.bootstrap,
    limits: { 'http1.headMs': timers.headMs, 'http1.bodyMs': timers.bodyMs },
  };
  await startStaticSide(t, mesh, { ...receiver, bootstrap });
  return { port: bootstrap.apps[0]?.plain?.port ?? 0, trustBundle };
}

it('runs all vectors', () => {
  assert.equal(shared.length, 244);
  assert.ok(own.length >= 140);
  assert.equal(new Set(vectors.map(({ id }) => id)).size, vectors.length, 'an id stands twice');
});

function vectorsIn(file: string): Vector[] {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Vector);
}

async function runRequest(vector: Vector, pieces: readonly string[], second: boolean): Promise<void> {
  await upstream.reset();
  const client = new RawClient(port, [...(second ? ['GET'] : []), ...methodsOf(vector)]);
  try {
    let earlier = 0;
    if (second) {
      await client.send(['GET /first HTTP/1.1\r\nHost: a\r\n\r\n']);
      await eventually(() => client.statuses().length === 1, { everyMs: 2 });
      earlier = 1;
    }
    const upstreamBytesBefore = upstreamBytes();
    await client.send(pieces);
    if (vector.eof) client.end();
    const dripping = vector.slow === undefined ? undefined : setInterval(() => void client.send(['a']), 100);
    try {
      if (vector.id === 'ex-100-wait') {
        await eventually(() => client.text.includes(' 100 '), { everyMs: 2 });
        await client.send(['hello']);
      }
      await judgeRequest(vector, client, earlier, upstreamBytesBefore);
    } finally {
      clearInterval(dripping);
    }
  } finally {
    client.destroy();
  }
}

async function judgeRequest(
  vector: Vector,
  client: RawClient,
  earlier: number,
  bytesBefore: number,
): Promise<void> {
  const expectedRequests = vector.requests ?? (pipelined.has(vector.id) ? 2 : 1);
  // A refusal closes; only what was answered may stay open.
  const settled = (): boolean => {
    const statuses = client.statuses().slice(earlier);
    return (
      client.closed || (statuses.length >= expectedRequests && statuses.every((status) => status === 200))
    );
  };
  const isReject = vector.expect.startsWith('reject');
  const mayForward = !isReject || vector.also?.some((each) => String(each).startsWith('forward'));
  const mustClose = !mayForward || vector.expect === 'close-after';
  await eventually(() => (mustClose ? client.closed : settled()), {
    everyMs: 2,
    what: `${vector.id}: ${vector.expect}; got ${JSON.stringify(client.text.slice(-300))}`,
  });
  const statuses = client.statuses().slice(earlier);
  const first = statuses[0] ?? 'close';
  const requests = upstream.requests.slice(earlier);
  assert.deepEqual(upstream.problems, [], 'the upstream got something that is not canonical');
  assert.equal(client.wasReset, false, 'the answer must be readable');
  assert.equal(client.rest(), '', 'no half answer');
  const smug = requests.filter((request) => request.start.includes('/smug')).length;
  if (vector.expect !== 'forward') assert.equal(smug, 0, '/smug became a request');
  if (first === 200) {
    assert.ok(mayForward, 'was forwarded');
    assert.equal(requests.length, expectedRequests);
    assert.deepEqual(statuses, [...Array(expectedRequests).fill(200), ...refusedAfter(vector)]);
    judgeContent(vector.arrives, requests[0]);
    return;
  }
  const allowed = [isReject ? (vector.status ?? 400) : [], vector.also ?? []].flat();
  assert.ok(allowed.includes(first), `answered ${first}, allowed are ${allowed.join(', ')}`);
  assert.ok(client.closed, 'refused and not closed');
  assert.equal(requests.length, 0, 'a refused request arrived');
  const isHeadFault = !bodyFaults.has(vector.cat) && vector.id !== 'slow-body';
  if (isHeadFault) assert.equal(upstreamBytes(), bytesBefore, 'bytes of a refused head arrived');
}

function refusedAfter({ id, refused }: Vector): number[] {
  if (refused !== undefined) return [refused];
  return id === 'garbage-after' ? [400] : [];
}

/** Whether a message is as it is said to be. */
function judgeContent(content: Vector['arrives'], message: RawMessage | undefined): void {
  if (content === undefined) return;
  assert.ok(message !== undefined);
  const { start, body, fields = {}, trailers } = content;
  if (start !== undefined) assert.equal(message.start, start);
  if (body !== undefined) assert.equal(message.body, body);
  for (const [name, value] of Object.entries(fields))
    assert.equal(fieldOf(message, name) ?? null, value, name);
  if (trailers !== undefined) assert.deepEqual(message.trailers, Object.entries(trailers));
}

/** The methods of the requests that a vector holds, for what their answers are to look like. */
function methodsOf({ bytes }: Vector): string[] {
  return [...bytes.matchAll(/(?:^|\r\n\r\n)(\S+) \S+ HTTP\/1/g)].map(([, method = '']) => method);
}

function upstreamBytes(): number {
  return upstream.connections.reduce((sum, each) => sum + each.bytes.length, 0);
}

async function runResponse(vector: Vector, split: Split): Promise<void> {
  await upstream.reset();
  upstream.cut = (bytes) => split.cut(bytes);
  const answer = paddedBytes(vector);
  const request = vector.req ?? defaultRequest;
  const method = request.split(' ')[0] ?? '';
  upstream.endsAfterAnswer = vector.eof === true;
  if (vector.hang) upstream.script = () => undefined;
  else if (answer === '') upstream.closesAtOnce = true;
  else if (method === 'POST') upstream.early = answer;
  else upstream.script = (_, connection) => (connection === 0 ? answer : plainAnswer);
  const client = new RawClient(port, [method, 'GET']);
  try {
    await client.send([request]);
    await judgeResponse(vector, client, method);
    if (/HTTP\/1\.0/.test(request)) await eventually(() => client.closed);
    if (client.closed || method === 'POST') return;
    // Whatever happened, the next request gets its own answer.
    upstream.script = () => plainAnswer;
    upstream.closesAtOnce = false;
    const before = client.statuses().length;
    await client.send([defaultRequest]);
    await eventually(() => client.statuses().length === before + 1 || client.closed, { everyMs: 2 });
    const last = client.responses().at(-1);
    assert.ok(
      last !== undefined && last.body === 'ok' && statusOf(last) === 200,
      'the next answer is another',
    );
    if (isPoisoned(vector))
      assert.equal(upstream.connections.length, 2, 'the upstream connection was used again');
  } finally {
    client.destroy();
  }
}

async function judgeResponse(vector: Vector, client: RawClient, method: string): Promise<void> {
  const answered = () => client.statuses().length > 0;
  await eventually(() => answered() || client.closed, {
    everyMs: 2,
    what: `${vector.id}: ${vector.expect}; got ${JSON.stringify(client.text.slice(-300))}`,
  });
  const responses = client.responses();
  const final = responses.find((response) => statusOf(response) >= 200);
  for (const interim of responses.filter((response) => statusOf(response) < 200)) {
    assert.ok(!vector.req?.includes('HTTP/1.0'), '1xx to HTTP/1.0');
    for (const name of ['content-length', 'transfer-encoding'])
      assert.equal(fieldOf(interim, name), undefined);
  }
  const status = final === undefined ? 'close' : statusOf(final);
  const sent = Number(/^HTTP\/1\.\d ([2-5]\d\d) /m.exec(paddedBytes(vector))?.[1] ?? 0);
  const also = vector.also ?? [];
  switch (vector.expect) {
    case 'reject-other':
    case 'reject-400':
      assert.ok([vector.status ?? 502, ...also].includes(status), `answered ${status}`);
      return;
    case 'close-after':
      if (method === 'POST') assert.equal(status, sent);
      else assert.equal(final, undefined, 'a cut response looks whole');
      await eventually(() => client.closed);
      return;
    default:
      if (also.includes(status) && status !== sent) return;
      assert.equal(status, sent);
      assert.ok(final !== undefined);
      judgeNormalised(vector, final);
  }
}

function judgeNormalised(
  vector: Vector,
  final: NonNullable<ReturnType<RawClient['responses']>[number]>,
): void {
  const isBodiless = /^rs-(?:head|204|304)/.test(vector.id);
  assert.equal(final.body, vector.answer?.body ?? (isBodiless ? '' : 'hi'));
  judgeContent(vector.answer, final);
  for (const name of ['x-s', 'keep-alive', 'link']) assert.equal(fieldOf(final, name), undefined);
  if (vector.id.startsWith('rs-204')) assert.equal(fieldOf(final, 'content-length'), undefined);
  if (vector.id === 'rs-head-body') assert.equal(fieldOf(final, 'content-length'), '4');
  if (vector.id === 'rs-set-cookie-2') {
    const cookies = final.fields.filter(([name]) => name === 'set-cookie').map(([, value]) => value);
    assert.deepEqual(cookies, ['a=1', 'b=2']);
  }
}

/** Vectors after which the upstream connection must not be used again. */
function isPoisoned(vector: Vector): boolean {
  return (
    vector.expect.startsWith('reject') ||
    vector.eof === true ||
    vector.poisons === true ||
    ['rs-head-body', 'rs-head-chunked', 'rs-204-body', 'rs-hop'].includes(vector.id)
  );
}

function paddedBytes({ bytes, pad }: Vector): string {
  if (pad === undefined) return bytes;
  return bytes.slice(0, pad.at) + pad.str.repeat(pad.count) + bytes.slice(pad.at);
}

function cutAt(bytes: string, random: () => number, cuts: number): string[] {
  const places = Array.from({ length: cuts }, () => 1 + Math.floor(random() * bytes.length)).sort(
    (a, b) => a - b,
  );
  return [0, ...places]
    .map((from, i) => bytes.slice(from, places[i] ?? bytes.length))
    .filter((piece) => piece !== '');
}

async function note(what: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (error instanceof Error) error.message = `${what}: ${error.message}`;
    throw error;
  }
}
