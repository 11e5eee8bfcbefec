import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join, relative } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { projectRoot } from '../../tools/project.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);

/** An instruction of a Dockerfile, its lines joined. */
interface Instruction {
  readonly word: string;
  readonly rest: string;
}

const instructions: readonly Instruction[] = readFileSync(
  join(projectRoot(), 'deploy', 'Dockerfile'),
  'utf8',
)
  .replaceAll('\\\n', ' ')
  .split('\n')
  .filter((line) => line.trim() !== '' && !line.startsWith('#'))
  .map((line) => {
    const [, word = '', rest = ''] = /^(\w+) (.*)$/.exec(line) ?? [];
    return { word, rest };
  });

let image: TemporaryDirectory;
before(async () => {
  image = await makeTemporaryDirectory('image');
});
after(() => image.remove());

/** The text with the folders of the image in place of the system's, and this user in place of its own. */
function inImage(text: string): string {
  const user = process.getuid?.() ?? 0;
  const group = process.getgid?.() ?? 0;
  return text
    .replaceAll(/(?<![\w.-])\/(build|packed|opt|var\/lib|run)\b/g, `${image.path}/$1`)
    .replace('-o node -g node', `-o ${user} -g ${group}`);
}

function only(word: string): string {
  const found = instructions.filter((one) => one.word === word);
  assert.equal(found.length, 1, word);
  return found[0].rest;
}

function words(text: string): readonly string[] {
  return (JSON.parse(text.replace(/^CMD /, '')) as readonly string[]).map(inImage);
}

/** What lies in the repository; a build for an image sends all of it. */
async function copyRepository(to: string): Promise<void> {
  const listed = ['ls-files', '--cached', '--others', '--exclude-standard'];
  const { stdout } = await run('git', listed, { cwd: projectRoot(), maxBuffer: 16 * 1024 ** 2 });
  for (const path of stdout.split('\n').filter((one) => one !== '')) {
    cpSync(join(projectRoot(), path), join(to, path));
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('the Dockerfile', () => {
  it('knows no instruction that this test does not', () => {
    const known = [
      ...['FROM', 'WORKDIR', 'COPY', 'RUN', 'USER', 'ENV', 'VOLUME', 'EXPOSE'],
      ...['HEALTHCHECK', 'ENTRYPOINT', 'CMD'],
    ];
    for (const { word } of instructions) assert.ok(known.includes(word), word);
  });

  it('builds: every RUN succeeds, one after another', async () => {
    let directory = image.path;
    for (const { word, rest } of instructions) {
      if (word === 'WORKDIR') {
        directory = inImage(rest);
        mkdirSync(directory, { recursive: true });
      } else if (word === 'COPY' && rest === '. .') {
        await copyRepository(directory);
      } else if (word === 'COPY') {
        const [, from = '', to = ''] = /^--from=build (\S+) (\S+)$/.exec(rest) ?? [];
        cpSync(inImage(from), inImage(to), { recursive: true });
      } else if (word === 'RUN') {
        const environment = { ...process.env, npm_config_prefer_offline: 'true', CI: 'true' };
        const command = ['-c', inImage(rest)];
        const options = { cwd: directory, env: environment, maxBuffer: 64 * 1024 ** 2 };
        await assert.doesNotReject(run('sh', command, options), rest);
      }
    }
  });

  it('runs: ENTRYPOINT and CMD serve, HEALTHCHECK tells so, and a stop is in order', async () => {
    const environment = Object.fromEntries(
      instructions
        .filter(({ word }) => word === 'ENV')
        .map(({ rest }) => inImage(rest).split('=', 2) as [string, string]),
    );
    writeFileSync(`${image.path}/tokens`, 'token\n', { mode: 0o600 });
    const [tcp, http] = [await freePort(), await freePort()];
    const [node, program = '', ...flags] = [...words(only('ENTRYPOINT')), ...words(only('CMD'))];
    assert.equal(node, 'node');
    const ported = flags.map((flag) => flag.replace('7700', `${tcp}`).replace('8080', `${http}`));
    const home = { HOME: image.path, WMBT_KV_TOKEN_FILE: `${image.path}/tokens` };
    const daemon = new DaemonProcess(ported, { ...environment, ...home }, { script: program });
    try {
      assert.deepEqual(await daemon.ready(), [`tcp://0.0.0.0:${tcp}`, `http://0.0.0.0:${http}`]);
      const [, ...check] = words(only('HEALTHCHECK'));
      const here = check.map((word) => word.replace('8080', `${http}`));
      await assert.doesNotReject(run(process.execPath, here));
      assert.equal(await daemon.stop(), 0);
      await assert.rejects(run(process.execPath, here), 'nobody is there any more');
    } finally {
      await daemon.stop('SIGKILL');
    }
    assert.equal(relative(image.path, program).startsWith('opt/wombatkv'), true);
  });
});
