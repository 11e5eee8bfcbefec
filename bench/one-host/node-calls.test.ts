import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { callsBetweenMarks } from './node-calls.ts';

const mark = '7 getppid()                         = 6';

describe('callsBetweenMarks', () => {
  it('counts what moves, waits and opens on any thread, and nothing else', () => {
    const between = [
      ...['7 read(3, "x", 1) = 1', '8 epoll_pwait(4, [], 8, 0, NULL, 8) = 0'],
      ...['7 pwritev2(3, [], 0, 0, 0) = 0', '9 openat(AT_FDCWD, "x", O_RDONLY) = 3'],
      '7 mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3, 0) = 0x1',
      '7 mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x2',
      ...['7 futex(0x1, FUTEX_WAKE_PRIVATE, 1) = 0', '7 <... read resumed>) = 1'],
      ...['7 madvise(0x1, 1, MADV_DONTNEED) = 0', '7 getpid() = 7', '7 readlink("x") = 1'],
    ];
    const log = ['7 read(3, "x", 1) = 1', mark, ...between, mark, '7 write(1, "", 0) = 0'];
    assert.equal(callsBetweenMarks(log.join('\n')), 5);
  });

  it('knows a mark beside which another thread was seen', () => {
    const cut = [
      '7 getppid( <unfinished ...>',
      '8 read(3, "x", 1) = 1',
      '7 <... getppid resumed>) = 6',
    ];
    assert.equal(callsBetweenMarks([mark, ...cut].join('\n')), 0);
    assert.equal(callsBetweenMarks([...cut, mark].join('\n')), 1);
  });

  it('takes no trace without both marks', () => {
    assert.throws(() => callsBetweenMarks(mark), /1 marks instead of 2/);
  });
});
