import { connect } from 'node:net';

export const socket = (): unknown => connect(1);
