// @ts-check
/**
 * Makes a clone ready to run: installs packages when package.json or the lockfile changed, compiles
 * when a source changed, builds the native code where there is a C compiler, and says nothing when
 * nothing changed. Every command of package.json starts here. Plain JavaScript, because it runs before
 * there is a compiler.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const installStamp = join(root, 'node_modules', '.wombatkv-setup');
const buildStamp = join(root, 'dist', '.setup');
const buildInfo = join(root, 'dist', '.tsbuildinfo');
const nativeFolder = join(root, 'build', 'native', `${process.platform}-${process.arch}`);
const nativeStamp = join(nativeFolder, '.setup');

/** The first Node that this project's tests pass on; package.json's `engines` says the same. */
const oldestNode = [20, 19];

/** Between two looks at a set-up that another process is running. */
const lockPollMs = 200;

/** A failure with advice: shown without a stack. */
class SetupError extends Error {}

try {
  await setUp();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}

async function setUp() {
  checkNode();
  if (!needsInstall() && !needsBuild() && !needsNative()) return;
  const lock = await takeLock();
  try {
    // Another process may have done the work while this one waited.
    if (needsInstall()) install();
    if (needsBuild()) build();
    if (needsNative()) buildNative();
  } finally {
    lock?.close();
  }
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = oldestNode;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new SetupError(
    `Node ${process.versions.node} is too old; WombatKV needs ${oldestNode.join('.')} or newer. ` +
      'Install it from https://nodejs.org and run the command again.',
  );
}

function needsInstall() {
  return readStamp(installStamp) !== installHash();
}

/** What the installed packages depend on. The platform is in it, for they hold native binaries. */
function installHash() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`);
  for (const name of ['package.json', 'package-lock.json']) {
    const path = join(root, name);
    hash.update(fs.existsSync(path) ? fs.readFileSync(path) : '').update('\n');
  }
  return hash.digest('hex');
}

function install() {
  console.log('setup: installing packages (npm install)');
  // A plain `npm install` without a network waits minutes for each missing description; with short
  // retries it finds what its cache and node_modules hold, and ends.
  const retries = ['--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=5000'];
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', ...retries];
  const result = spawnSync('npm', ['install', ...flags], {
    cwd: root,
    env: { ...process.env, NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' },
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (result.error !== undefined) {
    throw new SetupError(
      `npm could not be started (${result.error.message}). It comes with Node: ` +
        'install that from https://nodejs.org and run the command again.',
    );
  }
  if (result.status !== 0) {
    process.stderr.write(result.stdout + result.stderr);
    throw new SetupError(
      `npm install failed in ${root} (${exitOf(result)}; its words are above). The first time ` +
        'needs a network. Then run the command again.',
    );
  }
  // Taken afterwards, because npm may complete the lockfile.
  writeStamp(installStamp, installHash());
}

function needsBuild() {
  return readStamp(buildStamp) !== buildHash(sources());
}

/** @param {readonly string[]} files */
function buildHash(files) {
  const hash = createHash('sha256').update(installHash());
  for (const file of [...files, 'tsconfig.json']) {
    const { size, mtimeMs } = fs.statSync(join(root, file));
    hash.update(`\n${file} ${size} ${mtimeMs}`);
  }
  // A file removed from dist by hand is a reason to compile, too.
  const missing = files.filter((file) => !fs.existsSync(join(root, 'dist', outputOf(file))));
  return hash.update(`\n${missing.join('\n')}`).digest('hex');
}

function build() {
  const files = sources();
  // A stamp left by an earlier success must not outlive a failure.
  fs.rmSync(buildStamp, { force: true });
  removeStaleOutputs(files);
  if (files.some((file) => !fs.existsSync(join(root, 'dist', outputOf(file))))) {
    fs.rmSync(buildInfo, { force: true });
  }
  console.log('setup: compiling (tsc)');
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const result = spawnSync(process.execPath, [compiler, '-p', root], {
    cwd: root,
    stdio: 'inherit',
  });
  if (result.status !== 0) {
    throw new SetupError(
      `compiling failed (${exitOf(result)}). Correct the errors above and run the command again.`,
    );
  }
  writeStamp(buildStamp, buildHash(files));
}

function needsNative() {
  return readStamp(nativeStamp) !== nativeHash();
}

/** What the native code is made of, and by which compiler: it is tried again when one appears. */
function nativeHash() {
  const name = process.env['CC'] || 'cc';
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const compiler = folders
    .map((folder) => resolve(folder, name))
    .find((path) => fs.existsSync(path));
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${compiler}`);
  const sources = walk('capi').filter((file) => !file.startsWith(join('capi', 'test', sep)));
  for (const file of [...sources.sort(), join('src', 'platform', 'native-build.ts')]) {
    hash.update(`\n${file}\n`).update(fs.readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}

/** Native code makes some things faster, so a failure is told and does no harm. */
function buildNative() {
  console.log('setup: building native code (cc)');
  const program = join(root, 'dist', 'src', 'cli', 'main.js');
  const options = { cwd: root, encoding: /** @type {const} */ ('utf8') };
  const result = spawnSync(process.execPath, [program, 'build-native', '--no-library'], options);
  if (result.status !== 0) {
    // What an earlier success left is of other sources.
    fs.rmSync(join(nativeFolder, 'wombatkv-native.node'), { force: true });
    console.error(
      `setup: ${result.stderr.trim() || exitOf(result)}. Everything works without it, some of it ` +
        'more slowly; with a C compiler installed the next command builds it.',
    );
  }
  writeStamp(nativeStamp, nativeHash());
}

/** @param {readonly string[]} files */
function removeStaleOutputs(files) {
  const outputs = new Set(files.map(outputOf));
  for (const file of walk('dist')) {
    const output = relative('dist', file).replace(/\.d\.ts$|\.js\.map$/, '.js');
    if (output.endsWith('.js') && !outputs.has(output)) fs.rmSync(join(root, file));
  }
}

/** The TypeScript files that tsconfig.json names, relative to the root. */
function sources() {
  /** @type {{ include: string[], exclude: string[] }} */
  const { include, exclude } = JSON.parse(fs.readFileSync(join(root, 'tsconfig.json'), 'utf8'));
  const excluded = exclude.map((name) => join(name, sep));
  return include
    .flatMap(walk)
    .filter((file) => file.endsWith('.ts') && !excluded.some((name) => file.startsWith(name)))
    .sort();
}

/**
 * @param {string} directory
 * @returns {string[]}
 */
function walk(directory) {
  if (!fs.existsSync(join(root, directory))) return [];
  return fs.readdirSync(join(root, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? walk(path) : [path];
  });
}

/** @param {string} source */
function outputOf(source) {
  return source.replace(/\.ts$/, '.js');
}

/**
 * Waits until no other process sets up this clone. The lock is a name that the system frees when
 * its process ends, however it ends; where there are no such names, nothing is locked.
 */
async function takeLock() {
  const name = `wombatkv-setup-${createHash('sha256').update(root).digest('hex').slice(0, 32)}`;
  const addresses = { linux: `\0${name}`, win32: `\\\\.\\pipe\\${name}` };
  const address = new Map(Object.entries(addresses)).get(process.platform);
  if (address === undefined) return undefined;
  for (let attempt = 0; ; attempt += 1) {
    const server = await listen(address);
    if (server !== undefined) return server;
    if (attempt === 0) console.log('setup: waiting for another set-up of this folder');
    await new Promise((done) => setTimeout(done, lockPollMs));
  }
}

/**
 * The server that holds the name, or undefined when another process does.
 *
 * @param {string} address
 */
function listen(address) {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once('error', (error) => {
      if ('code' in error && error.code === 'EADDRINUSE') done(undefined);
      else fail(error);
    });
    server.listen(address, () => done(server));
  });
}

/** @param {string} path */
function readStamp(path) {
  return fs.existsSync(path) ? fs.readFileSync(path, 'utf8') : undefined;
}

/**
 * @param {string} path
 * @param {string} text
 */
function writeStamp(path, text) {
  fs.mkdirSync(dirname(path), { recursive: true });
  fs.writeFileSync(`${path}.${process.pid}`, text);
  fs.renameSync(`${path}.${process.pid}`, path);
}

/** @param {{ status: number | null, signal: string | null }} result */
function exitOf({ status, signal }) {
  return status === null ? `signal ${signal}` : `exit status ${status}`;
}
