/** Runs `nft` in a network namespace, and says in one line why it could not. */
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { MeshError } from '../../kit/errors.ts';

/** `own`: that of this process. */
export type Namespace =
  | { readonly kind: 'own' }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'pid'; readonly pid: number };

export interface NftRun {
  readonly namespace: Namespace;
  /** Where programs are looked for, as in PATH. */
  readonly path: string;
}

const timeoutMs = 10_000;
const maxOutputChars = 64 * 1024;

/** Puts `rules` in force, all or none. Throws MeshError. */
export async function loadRules(rules: string, run: NftRun): Promise<void> {
  requireRoot();
  const { code, stderr } = await nft(['-f', '-'], rules, run);
  if (code !== 0) throw refused('nft refused the rules, none is in force', stderr);
}

/** Whether the table is there. Throws MeshError. */
export async function hasTable(table: string, run: NftRun): Promise<boolean> {
  requireRoot();
  const { code, stdout, stderr } = await nft(['list', 'tables', 'inet'], '', run);
  if (code !== 0) throw refused('nft cannot list tables', stderr);
  return stdout.split('\n').includes(`table inet ${table}`);
}

function requireRoot(): void {
  if (process.geteuid?.() === 0) return;
  throw new MeshError('denied', 'only root may change a network namespace: run it with sudo', {
    origin: 'local',
  });
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function nft(args: readonly string[], input: string, { namespace, path }: NftRun): Promise<Ended> {
  const file = namespaceFile(namespace);
  const enter = file === undefined ? [] : ['nsenter', `--net=${file}`, '--'];
  return runProgram([...enter, 'nft', ...args], input, path);
}

/** The file that stands for it, looked at first, because `nsenter` says less about what is wrong. */
function namespaceFile(namespace: Namespace): string | undefined {
  switch (namespace.kind) {
    case 'own':
      return undefined;
    case 'name': {
      const file = `/run/netns/${namespace.name}`;
      if (statSync(file, { throwIfNoEntry: false }) !== undefined) return file;
      throw new MeshError(
        'not_found',
        `there is no network namespace ${JSON.stringify(namespace.name)} (see: ip netns list)`,
        { origin: 'local' },
      );
    }
    case 'pid': {
      const file = `/proc/${namespace.pid}/ns/net`;
      if (statSync(file, { throwIfNoEntry: false }) !== undefined) return file;
      throw new MeshError('not_found', `there is no process ${namespace.pid}`, { origin: 'local' });
    }
  }
}

function runProgram(command: readonly string[], input: string, path: string): Promise<Ended> {
  const [program = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { PATH: path, LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] = (output[name] + text).slice(-maxOutputChars);
      });
    }
    child.once('error', (cause: NodeJS.ErrnoException) =>
      reject(cause.code === 'ENOENT' ? missing(program) : refused(`cannot run ${program}`, cause.message)),
    );
    child.once('close', (code, signal) => {
      if (signal !== null) reject(refused(`${program} did not end within ${timeoutMs} ms`, output.stderr));
      // What nsenter says where it does not find the program it is given.
      else if (program === 'nsenter' && code === 127) reject(missing('nft'));
      else resolve({ code, ...output });
    });
    // It may end before it has read everything, which its exit code tells.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

function missing(program: string): MeshError {
  const owner = program === 'nft' ? 'nftables' : 'util-linux';
  return new MeshError('unavailable', `there is no ${program} on this host: install ${owner}`, {
    origin: 'local',
  });
}

/** With the first words of what the program said. */
function refused(what: string, said: string): MeshError {
  const [reason = ''] = said.split('\n').filter((line) => line.trim() !== '');
  const advice = /Operation not permitted|Permission denied/.test(said)
    ? ' (it needs CAP_NET_ADMIN, and CAP_SYS_ADMIN to enter another namespace)'
    : '';
  return new MeshError('unavailable', `${what}: ${reason}${advice}`, { origin: 'local' });
}
