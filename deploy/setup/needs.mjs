/** The decisions of the set-up, without any I/O: what differs from the lockfile, what is needed for what. */

/** Oldest Node that has everything the programs use (`node:ffi` for listening sockets). */
export const oldestNode = 26;

/** Programs that are driven as they come from Debian; any of `files` shows that a package is there. */
const debianPackages = [
  { name: 'etcd-server', files: ['etcd'], why: 'the store contract on a real etcd', for: ['test'] },
  {
    name: 'openssl',
    files: ['openssl'],
    why: 'an independent judge of certificates',
    for: ['test', 'bench'],
  },
  { name: 'curl', files: ['curl'], why: 'a client that people use', for: ['test'] },
  { name: 'nghttp2-client', files: ['nghttp'], why: 'an independent HTTP/2 peer', for: ['test', 'bench'] },
  {
    name: 'python3-h2',
    files: ['/usr/lib/python3/dist-packages/h2/__init__.py'],
    why: 'an independent HTTP/2 peer',
    for: ['test'],
  },
  {
    name: 'nftables',
    files: ['nft'],
    why: 'interception for real, where the tests run as root',
    for: ['test'],
  },
  { name: 'iproute2', files: ['ip'], why: 'network namespaces for it', for: ['test'] },
  { name: 'nginx', files: ['nginx'], why: 'a peer to compare with', for: ['bench'] },
  { name: 'haproxy', files: ['haproxy'], why: 'a peer to compare with', for: ['bench'] },
  { name: 'wrk', files: ['wrk'], why: 'the load generator', for: ['bench'] },
];

/** What `purpose` (`start`, `test` or `bench`) needs from Debian. */
export function debianPackagesFor(purpose) {
  return debianPackages.filter((need) => need.for.includes(purpose));
}

/**
 * Names what differs between the lockfile's packages and those that npm recorded in node_modules; empty is a
 * match. Optional packages may be absent (they are for other platforms), but not of another version; the one
 * that carries Node for this platform must be there.
 */
export function differences(wanted, installed, platform) {
  if (installed === undefined) return ['node_modules is missing'];
  const different = [];
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const present = installed[path];
    const mayLack = entry.optional === true && path !== `node_modules/node-${platform.os}-${platform.cpu}`;
    if (present === undefined ? !mayLack : present.version !== entry.version) {
      different.push(`${path.replace('node_modules/', '')}@${entry.version}`);
    }
  }
  for (const path of Object.keys(installed)) {
    if (wanted[path] === undefined)
      different.push(`${path.replace('node_modules/', '')} is not in the lockfile`);
  }
  return different;
}

/** What to do about a Node that answered `--version` with `answer`, or undefined where it will do. */
export function nodeProblem(answer, { fromPackage, platform }) {
  const major = Number(/^v(\d+)\./.exec(answer)?.[1] ?? 0);
  if (major >= oldestNode) return undefined;
  if (fromPackage) {
    return `the Node that npm installed for ${platform} does not run here (a C library other than glibc?); install Node ${oldestNode} or later by hand and remove node_modules/.bin/node`;
  }
  return `no Node ${oldestNode} from npm for ${platform}, and this one is ${answer || 'unknown'}; install Node ${oldestNode} or later, put it first in PATH, and run this again`;
}
