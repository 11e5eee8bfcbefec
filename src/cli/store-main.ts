#!/usr/bin/env node
import { runPrivateStore } from './private-command.ts';

process.exitCode = await runPrivateStore(process.argv[2]);
