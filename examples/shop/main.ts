/**
 * `npm start`: the shop in a mesh on this machine, without root, until Ctrl-C.
 *
 *   node examples/shop/main.ts [--json] [--data FOLDER]
 *
 * --json prints one line of JSON when ready and nothing else on standard output; --data keeps logs and orders.
 */
import { isAbsolute, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { onNpmGone } from './launcher/leftovers.ts';
import { type Shop, startShop } from './launcher/shop.ts';
import { type Counts, commandsOf, tableOf, visitsLine } from './launcher/view.ts';

const values = readArguments();
const startedAt = performance.now();
const summaryMs = 5_000;
/** People's words go to stderr where scripts read stdout. */
const out = values.json ? process.stderr : process.stdout;
const say = (text: string) => out.write(`${text}\n`);

let shop: Shop | undefined;
const ending = new AbortController();
// Whoever read it may be gone before us.
out.on('error', () => {});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end);
onNpmGone(end);

try {
  const folder = values.data === undefined ? undefined : absolute(values.data);
  shop = await startShop({ folder, tell: say, signal: ending.signal });
  if (ending.signal.aborted) await leave(shop);
  if (values.json) process.stdout.write(`${JSON.stringify(await describe(shop))}\n`);
  else await show(shop);
} catch (failure) {
  const why = failure instanceof Error ? failure.message : String(failure);
  process.stderr.write(ending.signal.aborted ? 'stopped\n' : `cannot start the shop: ${why}\n`);
  process.exit(ending.signal.aborted ? 0 : 1);
}

function end(): void {
  if (ending.signal.aborted) return;
  ending.abort(new Error('stopped'));
  if (shop !== undefined) void leave(shop);
}

function readArguments() {
  try {
    const { values } = parseArgs({
      options: { json: { type: 'boolean', default: false }, data: { type: 'string' } },
    });
    return values;
  } catch (failure) {
    const why = failure instanceof Error ? failure.message : String(failure);
    process.stderr.write(`${why}\nusage: npm start -- [--json] [--data FOLDER]\n`);
    process.exit(2);
  }
}

async function leave(shop: Shop): Promise<void> {
  say('\nending the agents with what they run, then the pilot …');
  await shop.stop();
  process.exit(0);
}

async function show(shop: Shop): Promise<void> {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const here = (path: string) => relative(process.cwd(), path) || '.';
  const example = here(import.meta.dirname);
  say(`\nready after ${seconds} s; logs and data are in ${shop.folder}\n`);
  say(tableOf(await shop.instances()));
  say('');
  say(
    commandsOf({
      instances: [],
      webUrl: shop.webUrl,
      countsUrl: shop.countsUrl,
      proxy: shop.proxy,
      pilotPid: shop.pids.pilot,
      heddle: `HEDDLE_DATA=${join(shop.folder, 'pilot')} npx heddle`,
      example,
    }),
  );
  say('');
  let before: Counts | undefined;
  setInterval(() => {
    shop.counts().then(
      (counts) => {
        if (!ending.signal.aborted) say(visitsLine(counts, before));
        before = counts;
      },
      () => say('the visitors do not answer at the moment'),
    );
  }, summaryMs);
}

/** For scripts: where everything is, and the process ids by role. */
async function describe(shop: Shop) {
  const { folder, ports, pids, webUrl, countsUrl, proxy } = shop;
  const instances = await shop.instances();
  return {
    ready: true,
    seconds: Number(((performance.now() - startedAt) / 1000).toFixed(2)),
    folder,
    urls: { api: `http://127.0.0.1:${ports.api}`, web: webUrl, counts: countsUrl, proxy },
    ports,
    pids: {
      launcher: process.pid,
      ...pids,
      instances: Object.fromEntries(
        instances.map(({ id, appPid, sidecarPid }) => [id, { app: appPid, sidecar: sidecarPid }]),
      ),
    },
    instances,
  };
}

function absolute(path: string): string {
  return isAbsolute(path) ? path : join(process.cwd(), path);
}
