// @ts-check
// What the linter enforces; docs/STYLE.md says why. Each rule has a planted fault in
// test/lint/planted, which planted.test.ts runs against this file. Run it with `npm run lint`.

/**
 * The layers of the house (docs/ARCHITECTURE.md). A folder sees only those in its list; a test or
 * benchmark beside the source sees every folder of its layer and below, and test/.
 *
 * @type {Readonly<Record<string, { layer: number, mayImport: string }>>}
 */
const layers = {
  base: { layer: 0, mayImport: '' },
  platform: { layer: 1, mayImport: 'base' },
  blocks: { layer: 1, mayImport: 'base' },
  format: { layer: 2, mayImport: 'base blocks' },
  protocol: { layer: 2, mayImport: 'base blocks' },
  http: { layer: 3, mayImport: 'base platform protocol' },
  wire: { layer: 3, mayImport: 'base platform blocks format protocol' },
  objectstore: { layer: 4, mayImport: 'base platform http' },
  cache: { layer: 4, mayImport: 'base platform blocks format' },
  catalog: { layer: 5, mayImport: 'base platform blocks format objectstore' },
  store: { layer: 6, mayImport: 'base platform blocks format objectstore cache catalog' },
  client: { layer: 7, mayImport: 'base platform blocks protocol http wire cache' },
  engines: { layer: 7, mayImport: 'base platform blocks' },
  config: { layer: 7, mayImport: 'base platform blocks' },
  daemon: {
    layer: 8,
    mayImport:
      'base platform blocks format protocol wire objectstore cache catalog store engines config',
  },
  cli: { layer: 9, mayImport: 'everything' },
};

const publicEntryPoints = ['index.ts', 'client.ts', 'llama.ts', 'testing.ts'];

const besideSource = ['src/**/*.test.ts', 'src/**/*.bench.ts'];
const tests = ['**/*.test.ts', '**/*.bench.ts', 'test/**'];

/** Pure modules of Node. Everything else reaches the machine and belongs behind src/platform. */
const pureModules = ['events', 'path', 'url', 'util'].map((name) => `node:${name}`);

const clock = 'Take time, and wait, through platform/clock.ts.';
const random = 'Take randomness from platform/random.ts.';
const machine = 'Reach the machine through src/platform.';

const ambientGlobals = [
  ...['Date', 'performance'].map((name) => ({ name, message: clock })),
  ...['setTimeout', 'setInterval', 'setImmediate'].map((name) => ({ name, message: clock })),
  { name: 'crypto', message: random },
  ...['process', 'fetch', 'WebSocket'].map((name) => ({ name, message: machine })),
];

const ambientProperties = [
  { object: 'Math', property: 'random', message: random },
  { object: 'AbortSignal', property: 'timeout', message: clock },
  { object: 'process', property: 'env', message: 'Settings come from src/config, handed in.' },
];

export default {
  plugins: ['typescript', 'import', 'unicorn', 'oxc', 'node'],
  categories: { correctness: 'error' },
  options: { typeAware: true, reportUnusedDisableDirectives: 'error' },
  ignorePatterns: ['node_modules/**', 'dist/**', 'build/**', 'test/lint/planted/**'],
  rules: {
    'import/no-cycle': ['error', { ignoreTypes: false }],
    'import/no-default-export': 'error',
    'import/consistent-type-specifier-style': ['error', 'prefer-top-level'],
    'max-lines': ['error', { max: 400 }],
    'max-lines-per-function': ['error', { max: 60 }],
    'max-params': ['error', { max: 4 }],
    'max-depth': ['error', { max: 3 }],
    // One `switch` counts once: a long one over a union is the style's own advice.
    complexity: ['error', { max: 12, variant: 'modified' }],
    eqeqeq: 'error',
    'no-console': 'error',
    // TypeScript already tells `new Array(count)` from a list of one.
    'unicorn/no-new-array': 'off',
    // Spreads group long lists, and formats are full of control characters.
    'unicorn/no-useless-spread': 'off',
    'no-control-regex': 'off',
    'no-throw-literal': 'error',
    'no-var': 'error',
    'prefer-const': 'error',
    'preserve-caught-error': 'error',
    'typescript/consistent-type-imports': ['error', { disallowTypeAnnotations: true }],
    'typescript/no-explicit-any': 'error',
    'typescript/no-non-null-assertion': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/switch-exhaustiveness-check': [
      'error',
      { considerDefaultExhaustiveForUnions: true },
    ],
  },
  overrides: [
    {
      files: ['src/**'],
      excludeFiles: ['src/platform/**', ...besideSource],
      rules: {
        'import/no-nodejs-modules': ['error', { allow: pureModules }],
        'no-restricted-globals': ['error', restrictedGlobals(ambientGlobals)],
        'no-restricted-properties': ['error', ...ambientProperties],
      },
    },
    {
      // They look for a prebuilt binary, which needs no more of the machine than a `require`.
      files: ['src/base/blake3.ts', 'src/base/crc32c.ts'],
      rules: { 'import/no-nodejs-modules': ['error', { allow: [...pureModules, 'node:module'] }] },
    },
    {
      // Commands speak to the terminal, read its environment and set the exit code.
      files: ['src/cli/**'],
      excludeFiles: besideSource,
      rules: {
        'no-console': 'off',
        'no-restricted-globals': [
          'error',
          restrictedGlobals(ambientGlobals.filter(({ name }) => name !== 'process')),
        ],
        'no-restricted-properties': [
          'error',
          ...ambientProperties.filter(({ object }) => object !== 'process'),
        ],
      },
    },
    // A folder that is not in the table sees no other.
    allowImports(['src/*/**'], []),
    ...Object.entries(layers).flatMap(layerOverrides),
    // An example shows what a user can do, so it sees what a user sees.
    allowImports(
      ['examples/**'],
      publicEntryPoints.map((name) => `../src/${name}`),
    ),
    {
      files: ['tools/**', 'bench/**', 'examples/**', '**/*.bench.ts', '*.mjs'],
      rules: { 'no-console': 'off' },
    },
    {
      // A suite is one closure with its cases inside.
      files: tests,
      rules: {
        'max-lines': ['error', { max: 600 }],
        'max-lines-per-function': 'off',
        // Cases take strings and fakes apart in ways that the product must not.
        'typescript/no-misused-spread': 'off',
        'typescript/unbound-method': 'off',
        // node:test takes care of the promises of `describe` and `it` itself.
        'typescript/no-floating-promises': [
          'error',
          {
            allowForKnownSafeCalls: [
              { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
            ],
          },
        ],
      },
    },
    {
      // What loads these asks for a default export.
      files: ['*.config.mjs', 'tools/test-reporter.ts'],
      rules: { 'import/no-default-export': 'off' },
    },
  ],
};

/** @param {[string, { layer: number, mayImport: string }]} entry */
function layerOverrides([folder, { layer, mayImport }]) {
  if (mayImport === 'everything') return [allowImports([`src/${folder}/**`], ['../**'])];
  const atOrBelow = Object.keys(layers).filter((name) => layers[name].layer <= layer);
  const forSource = mayImport.split(' ').filter(Boolean).map(inFolder);
  const forTests = [...atOrBelow, 'test'].map(inFolder);
  // Where several match a file, the last override holds. Only a sub-folder has its own folder's
  // files one level up; for the others these are the public entry points.
  return [
    allowImports([`src/${folder}/*.ts`], forSource),
    allowImports([`src/${folder}/*/**`], [...forSource, '../*.ts']),
    allowImports(ofTests(`src/${folder}`), forTests),
    allowImports(ofTests(`src/${folder}/*/**`), [...forTests, '../*.ts']),
  ];
}

/** @param {string} folder */
function ofTests(folder) {
  return [`${folder}/*.test.ts`, `${folder}/*.bench.ts`];
}

/** @param {string} name */
function inFolder(name) {
  return `**/${name}/**`;
}

/**
 * Of the imports that leave the folder, allows only those that match a pattern.
 *
 * @param {readonly string[]} files
 * @param {readonly string[]} allowed as in .gitignore
 */
function allowImports(files, allowed) {
  const group = ['../**', ...allowed.map((pattern) => `!${pattern}`)];
  const message = `Allowed here: ${allowed.join(' ') || 'nothing'} (docs/ARCHITECTURE.md).`;
  return {
    files,
    rules: { 'no-restricted-imports': ['error', { patterns: [{ group, message }] }] },
  };
}

/** @param {readonly { name: string, message: string }[]} globals */
function restrictedGlobals(globals) {
  return { globals, checkGlobalObject: true };
}
