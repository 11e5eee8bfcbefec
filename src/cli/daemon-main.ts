#!/usr/bin/env node
import { runDaemon } from './daemon-command.ts';

process.exitCode = await runDaemon(process.argv.slice(2));
