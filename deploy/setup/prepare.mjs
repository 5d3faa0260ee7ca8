/**
 * Brings a fresh clone to where `npm start` or `npm test` can run, and is quick where nothing is missing:
 * packages by the lockfile, Debian packages that the tests drive, Node 26.
 *
 * It runs before node_modules exists, on whatever Node the system has: plain JavaScript, Node 20 syntax,
 * nothing imported but Node's own modules.
 *
 *   node deploy/setup/prepare.mjs [start|test|bench]
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { debianPackagesFor, differences, nodeProblem } from './needs.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const purpose = process.argv[2] ?? 'start';
const heartbeatMs = 5_000;

/** What is in the way of going on, told in one line and what to do. */
class SetupProblem extends Error {}

try {
  await installPackages();
  linkProgram();
  checkNode();
  await installDebianPackages();
} catch (problem) {
  if (!(problem instanceof SetupProblem)) throw problem;
  say(problem.message);
  process.exitCode = 1;
}

async function installPackages() {
  const wanted = readJson(join(root, 'package-lock.json'));
  if (wanted === undefined)
    throw new SetupProblem('package-lock.json cannot be read; is this a whole clone?');
  const installed = readJson(join(root, 'node_modules', '.package-lock.json'));
  const platform = { os: process.platform, cpu: process.arch };
  const different = differences(wanted.packages, installed?.packages, platform);
  if (different.length === 0) return;
  const folder = lstatSync(join(root, 'node_modules'), { throwIfNoEntry: false });
  if (folder?.isSymbolicLink()) {
    throw new SetupProblem(
      `node_modules is a link and lacks what the lockfile wants (${different.slice(0, 3).join(', ')}); run npm ci where it points`,
    );
  }
  say(`installing packages by the lockfile (${installed ? different.slice(0, 3).join(', ') : 'first time'})`);
  // npm gives its scripts the path of its own program; a bare `npm` may be another version.
  const npm = process.env.npm_execpath;
  const [command, first] = npm ? [process.execPath, [npm]] : ['npm', []];
  const code = await run(command, [...first, 'ci', '--no-audit', '--no-fund', '--loglevel=error'], {});
  if (code !== 0) throw new SetupProblem(`npm ci failed (exit ${code}); its message is above`);
}

/** `npx heddle` in a clone runs the sources, as it runs the bundle where the package is installed. */
function linkProgram() {
  const link = join(root, 'node_modules', '.bin', 'heddle');
  const target = join('..', '..', 'bin', 'heddle.mjs');
  if (lstatSync(join(root, 'node_modules')).isSymbolicLink()) return;
  const found = lstatSync(link, { throwIfNoEntry: false });
  if (found?.isSymbolicLink() && readlinkSync(link) === target) return;
  rmSync(link, { force: true });
  symlinkSync(target, link);
}

function checkNode() {
  const own = join(root, 'node_modules', '.bin', 'node');
  const program = existsSync(own) ? own : process.execPath;
  const answer = spawnSync(program, ['--version'], { encoding: 'utf8' });
  const problem = nodeProblem(answer.stdout?.trim() ?? '', {
    fromPackage: program === own,
    platform: `${process.platform} ${process.arch}`,
  });
  if (problem !== undefined) throw new SetupProblem(problem);
}

async function installDebianPackages() {
  const missing = debianPackagesFor(purpose).filter((need) => !need.files.some(isThere));
  if (missing.length === 0) return;
  const names = missing.map((need) => need.name);
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    const forWhat = missing.map((need) => `${need.name} (${need.why})`).join(', ');
    throw new SetupProblem(
      `missing: ${forWhat}. On Debian or Ubuntu: sudo apt-get install --no-install-recommends ${names.join(' ')}`,
    );
  }
  say(`installing Debian packages: ${names.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Without package lists every name is unknown; fetching them takes seconds, so only then.
  if (!hasPackageLists()) await run('apt-get', ['update', '-qq'], { env });
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...names];
  let code = await run('apt-get', install, { env });
  if (code !== 0) {
    await run('apt-get', ['update', '-qq'], { env });
    code = await run('apt-get', install, { env });
  }
  if (code !== 0) throw new SetupProblem(`apt-get could not install ${names.join(' ')} (exit ${code})`);
}

/** A path, or the name of a program somewhere on PATH. */
function isThere(file) {
  if (file.startsWith('/')) return existsSync(file);
  const folders = (process.env.PATH ?? '').split(':').concat('/usr/sbin', '/usr/bin');
  return folders.some((folder) => existsSync(join(folder, file)));
}

function hasPackageLists() {
  try {
    return readdirSync('/var/lib/apt/lists').some((name) => name.includes('_Packages'));
  } catch {
    return false;
  }
}

/** Runs a program with its output shown; says that it is still at work where it is silent for long. */
function run(command, args, { env = process.env }) {
  const startedMs = Date.now();
  const heartbeat = setInterval(() => {
    say(`… still at it after ${Math.round((Date.now() - startedMs) / 1000)} s`);
  }, heartbeatMs);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 2, 2] });
    child.once('error', (cause) => {
      clearInterval(heartbeat);
      reject(new SetupProblem(`cannot run ${command}: ${cause.message}`));
    });
    child.once('close', (code) => {
      clearInterval(heartbeat);
      resolve(code ?? 1);
    });
  });
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** To stderr: stdout belongs to the program that comes after. */
function say(text) {
  process.stderr.write(`heddle set-up: ${text}\n`);
}
