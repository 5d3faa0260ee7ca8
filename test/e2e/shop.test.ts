/** The demo as its user has it: started as a process, driven by curl and a gRPC client, changed, killed, ended. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import { askAgent, environmentOf, type Instance } from '../../examples/shop/launcher/agent-status.ts';
import type { Counts } from '../../examples/shop/launcher/view.ts';
import { createPricingClient, type QuoteReply } from '../../examples/shop/services/pricing/protocol.ts';
import { defer, type Scope, suiteScope } from '../support/cleanup.ts';
import { eventually, within } from '../support/eventually.ts';
import { isAlive, processesWith } from '../support/process-table.ts';
import { type RunningProcess, runProcess, startProcess } from '../support/processes.ts';
import { tempFolder } from '../support/temp-folder.ts';

interface ReadyLine {
  readonly ready: true;
  readonly folder: string;
  readonly urls: {
    readonly api: string;
    readonly web: string;
    readonly counts: string;
    readonly proxy: string;
  };
  readonly pids: { readonly pilot: number; readonly agents: Readonly<Record<string, number>> };
  readonly instances: readonly Instance[];
}

/** Cold caches and a loaded machine; alone it takes a few seconds. */
const startMs = 120_000;
const flags = ['--disable-warning=ExperimentalWarning'];

describe('the shop in a mesh', () => {
  const suite = suiteScope();
  let launcher: RunningProcess;
  let shop: ReadyLine;

  before(async () => {
    const folder = tempFolder(suite);
    defer(suite, () => endAll(folder));
    await start(folder);
  });

  it('runs every instance with an identity of its own and a certificate', async () => {
    assert.deepEqual(shop.instances.map(({ id }) => id).sort(), [
      'shop/catalogue.0@host-1',
      'shop/catalogue.0@host-2',
      'shop/orders.0@host-2',
      'shop/pricing-v1.0@host-1',
      'shop/pricing-v2.0@host-2',
      'shop/visitors.0@host-1',
      'shop/web.0@host-1',
    ]);
    for (const instance of shop.instances) {
      const account = instance.workload.replace(/-v\d$/, '');
      assert.equal(instance.identity, `spiffe://mesh.local/ns/shop/sa/${account}`);
      assert.ok((instance.certificateEndsMs ?? 0) > Date.now());
      assert.ok(isAlive(instance.appPid ?? 0) && isAlive(instance.sidecarPid ?? 0));
    }
  });

  it('answers curl by the name of a service, over two sidecars and back', async (t) => {
    const offers = await curl(t, '-H', 'Host: web.shop', `${shop.urls.proxy}/api/offers?search=silk`);
    assert.equal(offers.status, 200);
    assert.equal(offers.json().offers.length, 5);
    const order = ['-d', '{"sku":"SILK-SEA-50","quantity":2}', '-H', 'content-type: application/json'];
    const placed = await curl(t, ...order, '-H', 'Host: web.shop', `${shop.urls.proxy}/api/orders`);
    assert.equal(placed.json().order.totalCents, 3_100);
  });

  it('serves callers outside the mesh where that is permitted', async (t) => {
    const page = await curl(t, shop.urls.web);
    assert.match(page.body, /<h1>Yarns of the day<\/h1>/);
  });

  it('refuses whom no policy admits, and says what a wrong name may have meant', async (t) => {
    assert.equal((await curl(t, '-H', 'Host: orders.shop', `${shop.urls.proxy}/orders`)).status, 403);
    const unknown = await curl(t, '-H', 'Host: wep.shop', `${shop.urls.proxy}/`);
    assert.equal(unknown.status, 404);
    assert.match(unknown.body, /web/);
  });

  it('carries gRPC, unary and streaming, statuses included', async (t) => {
    const pricing = createPricingClient(pricingAddress());
    defer(t, pricing.close);
    assert.equal((await pricing.quote('WOOL-INDIGO-50', 2)).totalCents, 1_400);
    const prices: QuoteReply[] = [];
    for await (const price of pricing.watch({ sku: 'JUTE-SEA-50', count: 3, intervalMs: 20 }))
      prices.push(price);
    assert.deepEqual(
      prices.map(({ totalCents }) => totalCents),
      [150, 150, 150],
    );
    await assert.rejects(pricing.quote('NONE', 1), { code: status.NOT_FOUND });
  });

  it('follows a changed route without a failed request', async (t) => {
    const pricing = createPricingClient(pricingAddress());
    defer(t, pricing.close);
    const earlier = await counts();
    const applied = await heddle(t, 'pilot', 'apply', '-f', 'examples/shop/routes/pricing-v2.yaml');
    assert.match(applied, /pricing/);
    await eventually(
      async () => {
        const quotes = await Promise.all(
          Array.from({ length: 20 }, () => pricing.quote('WOOL-INDIGO-50', 1)),
        );
        return quotes.every(({ version }) => version === 'v2');
      },
      { what: 'all quotes from v2' },
    );
    assert.equal((await counts()).failures, earlier.failures);
  });

  it('shows every sidecar in the status, with nothing pending', async (t) => {
    await eventually(
      async () => {
        const text = await heddle(t, 'pilot', 'status');
        return shop.instances.every(({ id }) => text.includes(id));
      },
      { what: 'all sidecars in the status' },
    );
  });

  it('brings back a killed service and a killed sidecar, each once', async () => {
    for (const role of ['appPid', 'sidecarPid'] as const) {
      const before = await instance('shop/catalogue.0@host-2');
      process.kill(before[role] ?? 0, 'SIGKILL');
      const after = await eventually(
        async () => {
          const now = await instance('shop/catalogue.0@host-2');
          return now.state === 'ready' && now[role] !== null && now[role] !== before[role] ? now : undefined;
        },
        { what: `a new ${role}`, withinMs: 60_000 },
      );
      assert.ok(isAlive(after[role] ?? 0));
    }
    assert.equal(
      processesWith(shop.folder).filter(({ command }) => command.includes('catalogue/main.ts')).length,
      2,
    );
  });

  it('goes on without a failed request while pilot and agent are killed, and takes up what runs', async () => {
    await eventually(async () => (await visitsWithout(5)) === 0, { what: 'visits without failure' });
    const earlier = await counts();
    const running = await instance('shop/web.0@host-1');
    process.kill(shop.pids.pilot, 'SIGKILL');
    process.kill(shop.pids.agents['host-1'] ?? 0, 'SIGKILL');
    await eventually(async () => (await counts()).requests > earlier.requests + 30, { what: 'visits' });
    const after = await eventually(
      async () => {
        const now = await askAgent(join(shop.folder, 'host-1'));
        return now.pid !== shop.pids.agents['host-1'] && now.pilot !== null ? now : undefined;
      },
      { what: 'a new agent with a pilot', withinMs: 60_000 },
    );
    const web = after.instances.find(({ id }) => id === running.id);
    assert.deepEqual([web?.appPid, web?.sidecarPid], [running.appPid, running.sidecarPid]);
    const { failures, lastFailure } = await counts();
    assert.equal(failures, earlier.failures, lastFailure ?? '');
  });

  it('ends what a killed launcher left behind, and begins anew', async () => {
    const left = processesWith(shop.folder);
    launcher.signal('SIGKILL');
    await launcher.exited;
    await start(shop.folder);
    assert.match(launcher.stderr, /^ending what an earlier start left behind in /m);
    assert.deepEqual(
      left.filter(({ pid }) => isAlive(pid)),
      [],
    );
    assert.equal(await visitsWithout(10), 0);
  });

  it('ends with Ctrl-C and leaves nothing behind', async () => {
    launcher.signal('SIGINT');
    assert.deepEqual(await within(launcher.exited, 'the end of the launcher', 60_000), {
      code: 0,
      signal: null,
    });
    await eventually(() => processesWith(shop.folder).length === 0, { what: 'no process left' });
  });

  async function start(folder: string): Promise<void> {
    launcher = await startProcess(suite, {
      args: [...flags, 'examples/shop/main.ts', '--json', '--data', folder],
      graceMs: 60_000,
    });
    const [line] = await launcher.printed(/^\{"ready":true.*\}$/m, startMs);
    shop = JSON.parse(line) as ReadyLine;
  }

  function pricingAddress(): string {
    const visitors = shop.instances.find(({ workload }) => workload === 'visitors');
    return environmentOf(visitors?.appPid ?? 0).get('HEDDLE_PRICING_ADDR') ?? '';
  }

  async function counts(): Promise<Counts> {
    return (await (await fetch(shop.urls.counts)).json()) as Counts;
  }

  /** Failures among the next `visits`. */
  async function visitsWithout(visits: number): Promise<number> {
    const from = await counts();
    const to = await eventually(async () => {
      const now = await counts();
      return now.requests >= from.requests + visits ? now : undefined;
    });
    return to.failures - from.failures;
  }

  async function instance(id: string): Promise<Instance> {
    const { instances } = await askAgent(join(shop.folder, id.slice(id.indexOf('@') + 1)));
    const found = instances.find((each) => each.id === id);
    assert.ok(found !== undefined, `${id} is not there`);
    return found;
  }

  async function heddle(t: TestContext, ...args: string[]): Promise<string> {
    const env = { HEDDLE_DATA: join(shop.folder, 'pilot') };
    const result = await runProcess(t, { args: [...flags, 'bin/heddle.mjs', ...args], env });
    assert.equal(result.code, 0, result.stderr);
    return result.stdout;
  }
});

interface CurlResult {
  readonly status: number;
  readonly body: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes, and each assertion says which
  json(): any;
}

async function curl(t: Scope, ...args: string[]): Promise<CurlResult> {
  const { code, stdout, stderr } = await runProcess(t, {
    command: 'curl',
    args: ['-sS', '--max-time', '20', '-w', '\n%{http_code}', ...args],
  });
  assert.equal(code, 0, stderr);
  const at = stdout.lastIndexOf('\n');
  const body = stdout.slice(0, at);
  return { status: Number(stdout.slice(at + 1)), body, json: () => JSON.parse(body) };
}

/** What a failed test left of the shop. */
function endAll(folder: string): void {
  for (const { pid } of processesWith(folder)) process.kill(pid, 'SIGKILL');
}
