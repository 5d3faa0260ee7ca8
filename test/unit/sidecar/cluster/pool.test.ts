import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../../kit/errors.ts';
import { type Connect, type ConnectionWaiter, Pool } from '../../../../sidecar/cluster/pool.ts';
import type { ClientConnection, ClientConnectionOwner } from '../../../../sidecar/codec/codec.ts';
import { FakeClientConnection, requestHead } from '../../../support/fake-codec.ts';

const refused = new MeshError('connect_refused', 'refused', { origin: 'upstream', retry: 'always' });

/** Uses the connection at once, as an exchange does. */
class Waiter implements ConnectionWaiter {
  connection: ClientConnection | undefined;
  error: MeshError | undefined;

  onConnection(connection: ClientConnection): boolean {
    this.connection = connection;
    connection.request(requestHead(), true, undefined as never);
    return true;
  }
  onConnectFailed(error: MeshError): void {
    this.error = error;
  }
}

interface Dial {
  readonly owner: ClientConnectionOwner;
  readonly done: Parameters<Connect>[1];
}

interface Options {
  readonly capacity?: number;
  readonly maxConnections?: number;
  readonly maxWaiting?: number;
  readonly mayDial?: () => boolean;
}

function createPool(options: Options = {}) {
  const dials: Dial[] = [];
  const pool = new Pool({
    connect: (owner, done) => dials.push({ owner, done }),
    requestsPerConnection: options.capacity ?? 1,
    maxConnections: options.maxConnections ?? 10,
    maxWaiting: options.maxWaiting ?? 10,
    mayDial: options.mayDial ?? (() => true),
  });
  const acquire = (which: 'acquire' | 'acquireFresh' = 'acquire') => {
    const waiter = new Waiter();
    pool[which](waiter);
    return waiter;
  };
  /** Lets the oldest dial succeed. */
  const connect = () => {
    const { owner, done } = dials.shift() as Dial;
    const connection = new FakeClientConnection(options.capacity ?? 1);
    done(undefined, connection);
    return { connection, owner };
  };
  const finish = ({ connection, owner }: ReturnType<typeof connect>) => {
    connection.available++;
    connection.active--;
    owner.onAvailable(connection);
  };
  return { pool, dials, acquire, connect, finish };
}

describe('Pool', () => {
  it('dials for the first request and reuses the connection for the next', () => {
    const { dials, acquire, connect, finish } = createPool();
    const first = acquire();
    const connected = connect();
    assert.equal(first.connection, connected.connection);
    finish(connected);
    assert.equal(acquire().connection, connected.connection);
    assert.equal(dials.length, 0);
  });

  it('dials for who does not trust the connections there are, and for nobody else', () => {
    const { dials, acquire, connect, finish } = createPool({ maxConnections: 3 });
    acquire();
    const old = connect();
    acquire();
    const busy = connect();
    finish(old);
    const fresh = acquire('acquireFresh');
    finish(busy);
    assert.equal(fresh.connection, undefined);
    const dialled = connect();
    assert.equal(fresh.connection, dialled.connection);
    assert.equal(dials.length, 0);
    // There is no room for another.
    assert.equal(acquire('acquireFresh').connection, busy.connection);
  });

  it('dials for the line besides what it dials for one alone, and fails each for its own dial', () => {
    const { dials, acquire } = createPool();
    const fresh = acquire('acquireFresh');
    const inLine = acquire();
    assert.equal(dials.length, 2);
    dials[0]?.done(refused, undefined);
    assert.deepEqual([fresh.error, inLine.error], [refused, undefined]);
    dials[1]?.done(refused, undefined);
    assert.equal(inLine.error, refused);
  });

  it('gives to the line what was dialled for one that wants it no more', () => {
    const { pool, dials, acquire, connect } = createPool({ maxConnections: 1 });
    const fresh = acquire('acquireFresh');
    const inLine = acquire();
    pool.forget(fresh);
    assert.equal(dials.length, 1);
    assert.equal(connect().connection, inLine.connection);
    assert.equal(fresh.connection, undefined);
  });

  it('keeps a connection for others that its waiter needs no more, in line or not', () => {
    const { pool, dials, acquire, connect } = createPool({ maxConnections: 1 });
    const gone: ConnectionWaiter = { onConnection: () => false, onConnectFailed: () => assert.fail() };
    pool.acquire(gone);
    const next = acquire();
    const connected = connect();
    assert.equal(next.connection, connected.connection);
    connected.connection.available = 1;
    connected.owner.onAvailable(connected.connection);
    pool.acquire(gone);
    assert.equal(acquire().connection, connected.connection);
    assert.equal(dials.length, 0);
  });

  it('dials one connection each where a connection takes one request', () => {
    const { dials, acquire } = createPool();
    acquire();
    acquire();
    assert.equal(dials.length, 2);
  });

  it('dials once for many where a connection takes many', () => {
    const { dials, acquire, connect } = createPool({ capacity: 100, maxWaiting: 50 });
    const waiters = Array.from({ length: 50 }, acquire);
    assert.equal(dials.length, 1);
    const { connection } = connect();
    assert.ok(waiters.every((waiter) => waiter.connection === connection));
  });

  it('dials no more for those who wait until a connection has begun', () => {
    const { dials, acquire } = createPool({ capacity: 3 });
    const waiters = [acquire()];
    const { owner, done } = dials.shift() as Dial;
    const silent = new FakeClientConnection(0);
    done(undefined, silent);
    waiters.push(acquire(), acquire());
    assert.equal(dials.length, 0);
    waiters.push(acquire());
    assert.equal(dials.length, 1, 'more wait than it is meant for');
    silent.available = 3;
    owner.onAvailable(silent);
    assert.deepEqual(
      waiters.map(({ connection }) => connection),
      [silent, silent, silent, undefined],
    );
  });

  it('fails those who wait for a connection that never begins, and dials for those left', () => {
    const { dials, acquire } = createPool({ capacity: 2, maxConnections: 1 });
    const waiters = [acquire(), acquire(), acquire()];
    const { owner, done } = dials.shift() as Dial;
    const silent = new FakeClientConnection(0);
    done(undefined, silent);
    owner.onClosed(silent, refused);
    assert.deepEqual(
      waiters.map(({ error }) => error),
      [refused, refused, undefined],
    );
    assert.equal(dials.length, 1);
  });

  it('gives a freed connection to the first in line when no more may be opened', () => {
    const { dials, acquire, connect, finish } = createPool({ maxConnections: 1 });
    acquire();
    const connected = connect();
    const second = acquire();
    const third = acquire();
    assert.equal(dials.length, 0);
    finish(connected);
    assert.equal(second.connection, connected.connection);
    assert.equal(third.connection, undefined);
  });

  it('refuses when the line is full', () => {
    const { acquire } = createPool({ maxConnections: 0, maxWaiting: 1 });
    acquire();
    assert.equal(acquire().error?.code, 'overloaded');
  });

  it('fails the one a dial was for, and dials for those left', () => {
    const { dials, acquire } = createPool({ maxConnections: 1 });
    const first = acquire();
    const second = acquire();
    dials.shift()?.done(refused, undefined);
    assert.equal(first.error, refused);
    assert.equal(second.error, undefined);
    assert.equal(dials.length, 1);
  });

  it('fails a request whose connection closes before it could be used, instead of dialling for ever', () => {
    const { dials, acquire } = createPool({ capacity: 100 });
    const waiter = acquire();
    const { owner, done } = dials.shift() as Dial;
    const connection = new FakeClientConnection(0);
    done(undefined, connection);
    owner.onUnavailable(connection);
    owner.onClosed(connection, refused);
    assert.equal(waiter.error, refused);
    assert.equal(dials.length, 0);
  });

  it('does not give out a connection that takes no more', () => {
    const { acquire, connect, finish, dials } = createPool();
    acquire();
    const connected = connect();
    finish(connected);
    connected.connection.available = 0;
    connected.owner.onUnavailable(connected.connection);
    assert.equal(acquire().connection, undefined);
    assert.equal(dials.length, 1);
  });

  it('forgets who no longer waits', () => {
    const { pool, acquire, connect } = createPool();
    const gone = acquire();
    pool.forget(gone);
    connect();
    assert.equal(gone.connection, undefined);
  });

  it('replaces a connection by opening the next before it drains the last', () => {
    const { pool, acquire, connect, dials } = createPool({ capacity: 100 });
    acquire();
    const old = connect();
    pool.replace();
    assert.equal(dials.length, 1);
    assert.deepEqual(old.connection.calls, []);
    connect();
    assert.deepEqual(old.connection.calls, ['drain']);
  });

  it('keeps the connection it has where its replacement cannot be opened', () => {
    const { pool, acquire, connect, dials } = createPool({ capacity: 100 });
    acquire();
    const old = connect();
    pool.replace();
    dials.shift()?.done(refused, undefined);
    assert.deepEqual(old.connection.calls, []);
    assert.equal(acquire().connection, old.connection);
  });

  it('keeps the connection it has where its replacement is refused before it takes a request', () => {
    const { pool, acquire, connect, dials } = createPool({ capacity: 100 });
    acquire();
    const old = connect();
    pool.replace();
    const { owner, done } = dials.shift() as Dial;
    const connection = new FakeClientConnection(0);
    done(undefined, connection);
    assert.deepEqual(old.connection.calls, []);
    owner.onClosed(connection, refused);
    assert.deepEqual(old.connection.calls, []);
    assert.equal(acquire().connection, old.connection);
  });

  it('fails nobody in line where a replacement cannot be opened', () => {
    const { pool, acquire, connect, dials, finish } = createPool({ maxConnections: 1 });
    acquire();
    const old = connect();
    const waiter = acquire();
    pool.replace();
    dials.shift()?.done(refused, undefined);
    assert.equal(waiter.error, undefined);
    finish(old);
    assert.equal(waiter.connection, old.connection);
  });

  it('waits for its own connections while there is no descriptor for another', () => {
    let mayDial = true;
    const { dials, acquire, connect, finish } = createPool({ mayDial: () => mayDial });
    acquire();
    const connected = connect();
    mayDial = false;
    const second = acquire();
    assert.equal(dials.length, 0);
    finish(connected);
    assert.equal(second.connection, connected.connection);
  });

  it('dials all the same where it has no connection at all, for somebody must say what is wrong', () => {
    const { dials, acquire } = createPool({ mayDial: () => false });
    acquire();
    assert.equal(dials.length, 1);
  });

  it('closes what lies idle when it is shrunk, and keeps what is in use', () => {
    const { pool, acquire, connect, finish } = createPool();
    acquire();
    acquire();
    const busy = connect();
    const idle = connect();
    finish(idle);
    pool.shrink();
    assert.deepEqual([busy.connection.calls, idle.connection.calls], [[], ['drain']]);
  });

  it('fails who waits when it is drained', () => {
    const { pool, acquire } = createPool();
    const waiters = [acquire(), acquire('acquireFresh')];
    pool.drain();
    for (const { error } of waiters) assert.deepEqual([error?.code, error?.retry], ['unavailable', 'always']);
  });
});
