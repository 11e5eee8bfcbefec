import { spawn } from 'node:child_process';

export const child = (): unknown => spawn('name');
