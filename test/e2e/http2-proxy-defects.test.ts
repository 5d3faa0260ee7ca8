/** What breaks http2-proxy does not break us: the same four probes through sidecars and through it. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { probes, type Subject, type SubjectOptions } from '../../examples/http2-proxy-peer/probes.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { runProcess } from '../support/processes.ts';
import { startStaticPair } from '../support/static-pair.ts';

guardLeaks();

describe("http2-proxy's defects", () => {
  for (const { name, run } of probes) {
    it(`through a pair of sidecars: ${name}`, async (t) => {
      const { ok, seen } = await run((options) => startPair(t, options));
      assert.ok(ok, seen);
    });
  }

  it('show at http2-proxy itself, as the example says', async (t) => {
    const { code, stdout, stderr } = await runProcess(t, { args: ['examples/http2-proxy-peer/main.ts'] });
    assert.equal(code, 0, stderr);
    const verdicts = [...stdout.matchAll(/^([✔✖]) (.*)$/gm)].map(([, mark, name]) => [mark, name]);
    assert.deepEqual(
      verdicts,
      probes.map(({ name }) => ['✖', name]),
      stdout,
    );
  });
});

async function startPair(t: TestContext, { upstreamPort, upstream }: SubjectOptions): Promise<Subject> {
  const protocol = upstream === 'http2' ? 'http2' : 'http';
  const pair = await startStaticPair(t, { ports: [{ port: 80, appPort: upstreamPort, protocol }] });
  return { port: pair.localPort(80) };
}
