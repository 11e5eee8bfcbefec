import { registerAbiTests, registerRelayedTests } from './abi-suite.ts';

registerAbiTests(['http']);
// In C they differ from one in the clear by an argument of the process: once is enough.
if (process.env['WOMBATKV_TEST_C_FLAVOUR'] === undefined) registerAbiTests(['tls', 'https']);
registerRelayedTests('tls');
registerRelayedTests('http');
