import { store } from '../store/clean.ts';

console.log(await store({ length: Number(process.env['LENGTH']) }));
