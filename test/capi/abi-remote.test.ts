import { registerAbiTests, registerRelayedTests } from './abi-suite.ts';

registerAbiTests(['http']);
// In C they differ from one in the clear by an argument of the process: once is enough but for a daemon that goes away,
// which threads meet in a process that comes between.
const isUnderSanitizer = process.env['WOMBATKV_TEST_C_FLAVOUR'] !== undefined;
registerAbiTests(['tls', 'https'], isUnderSanitizer ? 'harsh' : 'all');
registerRelayedTests('tls');
registerRelayedTests('http');
