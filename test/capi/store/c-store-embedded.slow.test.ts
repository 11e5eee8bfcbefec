import { registerCStoreSuite } from './c-store-suite.ts';

registerCStoreSuite('embedded');
