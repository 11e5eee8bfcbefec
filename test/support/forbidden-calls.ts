import koffi from 'koffi';

/** Numbers of Linux on x86-64 for what must not be called: nothing is moved, waited for or opened. */
const forbidden: readonly number[] = [
  ...[0, 17, 19, 295, 327], // read and its kin
  ...[1, 18, 20, 296, 328], // write
  ...[44, 46, 307, 42], // send, connect
  ...[45, 47, 299], // recv
  ...[7, 271, 23, 270, 232, 281, 441], // poll, select, epoll_wait
  ...[2, 257, 437, 85], // open, creat
  ...[16, 426], // ioctl, io_uring_enter
];
const mmap = 9;

/** What a filter of the system does with a call, by the numbers of linux/seccomp.h. */
const verdicts = { allow: 0x7fff0000, killProcess: 0x80000000 } as const;
/** Offsets in what a filter looks at: the number of the call, and the lower half of its fifth argument. */
const offsets = { number: 0, fifthArgument: 48 } as const;
/** The descriptor of memory that is no file's. */
const noDescriptor = 0xffffffff;

const opcodes = { load: 0x20, jumpIfEqual: 0x15, return: 0x06 } as const;
const numbers = { prctl: 157, seccomp: 317, setNoNewPrivileges: 38 } as const;
const setModeFilter = 1;
/** On all threads of the process. */
const flagAllThreads = 1;

export const canForbidCalls = process.platform === 'linux' && process.arch === 'x64';

/**
 * From now on the system kills this process, whichever of its threads reads, writes, sends, receives, polls, opens,
 * asks a device for something or maps a file. V8 may have memory of the system that is no file's. Gives what ends the
 * process without a word, for an end as usual does some of that.
 */
export function forbidCalls(): (exitCode: number) => never {
  const libc = koffi.load('libc.so.6');
  const systemCall = libc.func('long syscall(long, long, long, void *, long, long)');
  const exit = libc.func('void _exit(int)');
  const filter = filterOf();
  // struct sock_fprog: how many, and where they are.
  const program = new Uint8Array(16);
  const view = new DataView(program.buffer);
  view.setUint16(0, filter.length / 8, true);
  view.setBigUint64(8, koffi.address(filter), true);
  // Threads that have gone on meanwhile are held to it too.
  const results = [
    systemCall(numbers.prctl, numbers.setNoNewPrivileges, 1, null, 0, 0) as number,
    systemCall(numbers.seccomp, setModeFilter, flagAllThreads, program, 0, 0) as number,
  ];
  if (results.some((result) => Number(result) !== 0)) {
    throw new Error(`the system takes no filter: ${results.join(', ')}`);
  }
  return (exitCode) => {
    exit(exitCode);
    throw new Error('the process goes on');
  };
}

/** The filter, eight bytes for each of its steps: operation, where to go on if so and if not, and a number. */
function filterOf(): Uint8Array {
  const kill = forbidden.length + 5;
  const steps: (readonly [number, number, number, number])[] = [
    [opcodes.load, 0, 0, offsets.number],
    ...forbidden.map((number, at) => {
      const ahead = kill - (at + 1) - 1;
      return [opcodes.jumpIfEqual, ahead, 0, number] as const;
    }),
    [opcodes.jumpIfEqual, 0, 2, mmap],
    [opcodes.load, 0, 0, offsets.fifthArgument],
    [opcodes.jumpIfEqual, 0, 1, noDescriptor],
    [opcodes.return, 0, 0, verdicts.allow],
    [opcodes.return, 0, 0, verdicts.killProcess],
  ];
  const bytes = new Uint8Array(steps.length * 8);
  const view = new DataView(bytes.buffer);
  steps.forEach(([operation, ifSo, ifNot, number], at) => {
    view.setUint16(at * 8, operation, true);
    view.setUint8(at * 8 + 2, ifSo);
    view.setUint8(at * 8 + 3, ifNot);
    view.setUint32(at * 8 + 4, number, true);
  });
  return bytes;
}
