import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Programs of the four Debian packages, one of each kind that is used here. */
export const cephPrograms: readonly string[] = [
  'ceph',
  'ceph-authtool',
  'ceph-mon',
  'ceph-osd',
  'monmaptool',
  'radosgw',
  'radosgw-admin',
];

export const cephPackages: readonly string[] = ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph-common'];

/** An S3 server that runs until it is stopped. */
export interface Radosgw {
  readonly endpoint: string;
  /** Below it buckets are names of hosts, of which nobody resolves one. */
  readonly domain: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Ends all its processes and removes its files. */
  stop(): Promise<void>;
  /** The same for a process that ends at once: waits for nothing. */
  kill(): void;
}

const accessKey = 'wombat';
const secretKey = 'wombat-secret';
const domain = 's3.test';

/** How long each part may take to answer, on a machine that is busy with other things. */
const partMs = 120_000;

/** The programs that are not on the path. */
export function missingPrograms(): readonly string[] {
  const directories = (process.env['PATH'] ?? '').split(delimiter);
  return cephPrograms.filter(
    (program) => !directories.some((directory) => existsSync(join(directory, program))),
  );
}

/**
 * Starts a cluster of one monitor, one storage daemon that keeps everything in memory, and a
 * gateway, on free ports of this machine, in a directory of its own.
 */
export async function startRadosgw(): Promise<Radosgw> {
  const directory = await mkdtemp(join(tmpdir(), 'wombatkv-radosgw-'));
  const cluster = new Cluster(directory);
  try {
    return await cluster.start();
  } catch (error) {
    const logs = await cluster.lastWords();
    await cluster.stop();
    throw new Error(`radosgw did not start; its last words:\n${logs}`, { cause: error });
  }
}

class Cluster {
  readonly #directory: string;
  readonly #daemons: ChildProcess[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  async start(): Promise<Radosgw> {
    const [monitorPort = 0, gatewayPort = 0] = await freePorts(2);
    await this.#configure(monitorPort, gatewayPort);
    await this.#makeKeys();
    await this.#startMonitor(monitorPort);
    await this.#startStorage();
    const user = ['user', 'create', '--uid=wombat', '--display-name=wombat'];
    await this.#run('radosgw-admin', ...user, '--access-key', accessKey, '--secret-key', secretKey);
    this.#spawn('radosgw', '-n', 'client.rgw.a');
    const endpoint = `http://127.0.0.1:${gatewayPort}`;
    await this.#until('the gateway answers', async () => (await fetch(endpoint)).ok);
    return {
      endpoint,
      domain,
      accessKey,
      secretKey,
      stop: () => this.stop(),
      kill: () => this.kill(),
    };
  }

  async stop(): Promise<void> {
    for (const daemon of this.#daemons.toReversed()) {
      if (daemon.exitCode !== null || daemon.signalCode !== null) continue;
      const ended = once(daemon, 'exit');
      // Nothing it holds is wanted any more, and a clean end takes it several seconds.
      daemon.kill('SIGKILL');
      await ended;
    }
    await rm(this.#directory, { recursive: true, force: true });
  }

  kill(): void {
    for (const daemon of this.#daemons) daemon.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** The end of what each daemon wrote. */
  async lastWords(): Promise<string> {
    const names = ['mon.a', 'osd.0', 'client.rgw.a'];
    const logs = await Promise.all(
      names.map((name) => readFile(this.#path(`log/${name}.log`), 'utf8').catch(() => '')),
    );
    return logs.map((text) => text.trimEnd().split('\n').slice(-5).join('\n')).join('\n');
  }

  async #configure(monitorPort: number, gatewayPort: number): Promise<void> {
    for (const name of ['mon', 'mgr', 'osd', 'rgw', 'log', 'run']) {
      await mkdir(this.#path(name), { recursive: true });
    }
    const text = configuration(this.#directory, { monitorPort, gatewayPort });
    await writeFile(this.#path('ceph.conf'), text);
  }

  async #makeKeys(): Promise<void> {
    const all = ['--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *', '--cap', 'mgr', 'allow *'];
    const ofStorage = ['--cap', 'mon', 'allow profile osd', '--cap', 'osd', 'allow *'];
    const keyring = this.#path('keyring');
    await run('ceph-authtool', ['-C', keyring, '--gen-key', '-n', 'mon.', ...all.slice(0, 3)]);
    for (const [name, rights] of [
      ['client.admin', all],
      ['osd.0', ofStorage],
      ['client.rgw.a', all],
    ] as const) {
      await run('ceph-authtool', [keyring, '--gen-key', '-n', name, ...rights]);
    }
  }

  async #startMonitor(port: number): Promise<void> {
    const id = await this.#clusterId();
    const map = this.#path('monmap');
    const address = `[v1:127.0.0.1:${port}]`;
    await run('monmaptool', ['--create', '--clobber', '--addv', 'a', address, '--fsid', id, map]);
    const keyring = this.#path('keyring');
    await this.#run('ceph-mon', '-i', 'a', '--mkfs', '--monmap', map, '--keyring', keyring);
    this.#spawn('ceph-mon', '-i', 'a');
    await this.#until('the monitor answers', async () => {
      await this.#run('ceph', '--connect-timeout', '5', 'mon', 'stat');
      return true;
    });
  }

  async #startStorage(): Promise<void> {
    const id = randomUUID();
    await this.#run('ceph', 'osd', 'new', id);
    await this.#run('ceph', 'auth', 'import', '-i', this.#path('keyring'));
    await this.#run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', id);
    this.#spawn('ceph-osd', '-i', '0');
    await this.#run('ceph', 'osd', 'crush', 'add', 'osd.0', '1.0', 'root=default', 'host=h');
    await this.#until('the storage daemon is up', async () => {
      const { stdout } = await this.#run('ceph', 'osd', 'stat');
      return stdout.includes('1 up');
    });
  }

  async #clusterId(): Promise<string> {
    const text = await readFile(this.#path('ceph.conf'), 'utf8');
    return /^fsid = (.*)$/m.exec(text)?.[1] ?? '';
  }

  #run(program: string, ...words: readonly string[]): Promise<{ stdout: string }> {
    return run(program, ['-c', this.#path('ceph.conf'), ...words], { timeout: partMs });
  }

  /** Starts a daemon that stays a child of this process. */
  #spawn(program: string, ...words: readonly string[]): void {
    const daemon = spawn(program, ['-c', this.#path('ceph.conf'), ...words, '-f'], {
      stdio: 'ignore',
    });
    daemon.on('error', () => undefined);
    this.#daemons.push(daemon);
  }

  async #until(what: string, check: () => Promise<boolean>): Promise<void> {
    const endMs = performance.now() + partMs;
    for (;;) {
      if (await check().catch(() => false)) return;
      if (this.#daemons.some((daemon) => daemon.exitCode !== null)) {
        throw new Error(`a daemon ended before ${what}`);
      }
      if (performance.now() > endMs) throw new Error(`not within ${partMs} ms: ${what}`);
      await sleep(200);
    }
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

function configuration(
  directory: string,
  { monitorPort, gatewayPort }: { readonly monitorPort: number; readonly gatewayPort: number },
): string {
  return `[global]
fsid = ${randomUUID()}
mon host = [v1:127.0.0.1:${monitorPort}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon warn on pool no redundancy = false
mon pg warn min per osd = 0
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 4294967296
osd memory target = 1073741824
run dir = ${directory}/run
admin socket = ${directory}/run/$name.asok
log file = ${directory}/log/$name.log
pid file = ${directory}/run/$name.pid
mon data = ${directory}/mon
mgr data = ${directory}/mgr
osd data = ${directory}/osd
rgw data = ${directory}/rgw
keyring = ${directory}/keyring
ms bind msgr2 = false
mon data avail crit = 1
mon data avail warn = 2
[client.rgw.a]
rgw dns name = ${domain}
rgw frontends = beast endpoint=127.0.0.1:${gatewayPort}
rgw dynamic resharding = false
rgw enable usage log = false
rgw enable ops log = false
rgw enable gc threads = false
rgw enable lc threads = false
rgw thread pool size = 64
`;
}
