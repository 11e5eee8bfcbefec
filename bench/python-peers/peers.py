"""What engines in Python use on one host instead, as peers.py PEER DIRECTORY.

PEER is `lmcache` (LMCache's memory of the engine's own process), `mooncake` (a client of Mooncake Store
whose process holds the segment) or `mooncake-shared` (a client that reaches a process of the store over
shared memory). Each process has a store of its own, whose servers die with it; their logs go to DIRECTORY.
Orders and answers are those of bench/one-host/peers.c, one thread, nanoseconds; `out` has no meaning where
a get brings the bytes into the client's buffer, and is not there for Mooncake.
"""

import ctypes
import mmap
import os
import random
import signal
import socket
import subprocess
import sys
import time

CHAIN_BLOCKS = 80
PART_BLOCKS = 1000
VALUE_BYTES = 8
SEGMENT_BYTES = 1 << 30
START_SECONDS = 30
PAGE_BYTES = 4096


class Memory:
    """Payloads, and memory of the same length for what comes back; both were touched before."""

    def __init__(self, address, count, length):
        self.count, self.length = count, length
        self.source, self.target = address, address + count * length
        ctypes.memmove(self.source, random.randbytes(count * length), count * length)
        ctypes.memset(self.target, 1, count * length)

    def sources(self):
        return [self.source + at * self.length for at in range(self.count)]

    def targets(self):
        return [self.target + at * self.length for at in range(self.count)]

    def payload(self, at):
        return ctypes.string_at(self.source + at * self.length, self.length)


def anonymous_memory(length):
    """Gives its address, and what keeps it alive."""
    held = mmap.mmap(-1, length)
    return ctypes.addressof(ctypes.c_char.from_buffer(held)), held


class LmCache:
    """The memory backend in the process of the engine: a get gives references to what lies there."""

    is_lent = True

    def __init__(self, _directory):
        os.environ["LMCACHE_LOG_LEVEL"] = "ERROR"
        os.environ["LMCACHE_TRACK_USAGE"] = "false"
        import torch
        from lmcache.utils import CacheEngineKey
        from lmcache.v1.config import LMCacheEngineConfig
        from lmcache.v1.memory_management import MemoryFormat
        from lmcache.v1.metadata import LMCacheMetadata
        from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend

        torch.set_num_threads(1)
        self.torch, self.key_of, self.format = torch, CacheEngineKey, MemoryFormat.KV_2LTD
        gib = SEGMENT_BYTES / (1 << 30)
        config = LMCacheEngineConfig.from_defaults(local_cpu=True, max_local_cpu_size=gib, chunk_size=128)
        metadata = LMCacheMetadata("model", 1, 1, 0, 0, torch.uint8, (16, 2, 128, 8, 32))
        self.store = LocalCPUBackend(config, metadata, dst_device="cpu")

    def name(self, number):
        return self.key_of("model", 1, 0, number, self.torch.uint8)

    def memory(self, count, length):
        address, self.held = anonymous_memory(2 * count * length)
        memory = Memory(address, count, length)
        tensor_at = lambda at: self.torch.frombuffer(
            self.held, dtype=self.torch.uint8, count=length, offset=at - address
        )
        self.payloads = [tensor_at(at) for at in memory.sources()]
        self.copies = [tensor_at(at) for at in memory.targets()]
        return memory

    def put(self, names, memory):
        shape = self.torch.Size([2, 1, 1, memory.length // 2])
        objects = self.store.batched_allocate(shape, self.torch.uint8, len(names), self.format)
        for one, payload in zip(objects, self.payloads):
            one.tensor.view(-1).copy_(payload)
        self.store.batched_submit_put_task(names, objects)
        for one in objects:
            one.ref_count_down()

    def get(self, names, _memory):
        return self.store.batched_get_blocking(names)

    def release(self, found):
        for one in found:
            one.ref_count_down()

    def bytes_of(self, found, at, _memory):
        return bytes(found[at].byte_array)

    def touch(self, found):
        return sum(int(one.tensor.view(-1)[::PAGE_BYTES].sum()) for one in found)

    def copy(self, found):
        for one, copy in zip(found, self.copies):
            copy.copy_(one.tensor.view(-1))

    def drop(self, names):
        for name in names:
            self.store.remove(name)

    def look_up(self, names):
        known = 0
        while known < len(names) and self.store.contains(names[known]):
            known += 1
        return known

    def close(self):
        self.store.close()


class Mooncake:
    """A client with a master of its own, and the segment in its own process."""

    is_lent = False

    def __init__(self, directory):
        from mooncake.store import MooncakeDistributedStore

        self.logs, self.servers = directory, []
        self.master = free_port()
        master = ["-rpc_port", self.master, "-metrics_port", free_port(), "-enable_metric_reporting=false"]
        self.start("mooncake_master", master, self.master)
        self.store = MooncakeDistributedStore()
        self.connect()

    def connect(self):
        place = ("127.0.0.1", "P2PHANDSHAKE", SEGMENT_BYTES, 64 << 20, "tcp", "", f"127.0.0.1:{self.master}")
        expect(self.store.setup(*place) == 0, "setup")

    def start(self, program, words, port):
        """Waits until the port takes connections."""
        path = os.path.join(os.path.dirname(sys.executable), program)
        log = open(os.path.join(self.logs, f"{program}-{os.getpid()}.log"), "wb")
        command = [path, *map(str, words)]
        child = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)
        self.servers.append(child)
        deadline = time.monotonic() + START_SECONDS
        while True:
            expect(child.poll() is None and time.monotonic() < deadline, f"{program} does not start")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)

    def name(self, number):
        return f"{number:064x}"

    def memory(self, count, length):
        address, self.held = anonymous_memory(2 * count * length)
        expect(self.store.register_buffer(address, 2 * count * length) == 0, "register")
        return Memory(address, count, length)

    def put(self, names, memory):
        done = self.store.batch_put_from(names, memory.sources()[: len(names)], [memory.length] * len(names))
        expect(not any(done), "put")

    def get(self, names, memory):
        lengths = [memory.length] * len(names)
        found = self.store.batch_get_into(names, memory.targets()[: len(names)], lengths)
        expect(found == lengths, "get")
        return found

    def release(self, found):
        pass

    def bytes_of(self, _found, at, memory):
        return ctypes.string_at(memory.target + at * memory.length, memory.length)

    def drop(self, names):
        expect(not any(self.store.batch_remove(names, True)), "remove")

    def look_up(self, names):
        found = self.store.batch_is_exist(names)
        return found.index(0) if 0 in found else len(found)

    def close(self):
        self.store.close()
        for child in reversed(self.servers):
            child.send_signal(signal.SIGKILL)
            child.wait()


class SharedMooncake(Mooncake):
    """The segment is a process of the store's, and the client's buffers lie in memory that both have."""

    def connect(self):
        port = free_port()
        place = ["-host", "127.0.0.1", "-metadata_server", "P2PHANDSHAKE", "-protocol", "tcp", "-port", port]
        segment = ["-master_server_address", f"127.0.0.1:{self.master}", "-global_segment_size", f"{SEGMENT_BYTES} B"]
        self.start("mooncake_client", place + segment, port)
        expect(self.store.setup_dummy(256 << 20, 64 << 20, f"127.0.0.1:{port}") == 0, "setup")

    def memory(self, count, length):
        address = self.store.alloc_from_mem_pool(2 * count * length)
        expect(address != 0 and self.store.register_buffer(address, 2 * count * length) == 0, "register")
        return Memory(address, count, length)


PEERS = {"lmcache": LmCache, "mooncake": Mooncake, "mooncake-shared": SharedMooncake}


class Orders:
    """Obeys them; names are new in each put."""

    def __init__(self, peer):
        self.peer = peer
        self.kept, self.indexed, self.block_memory = [], [], None
        self.made = random.getrandbits(48) << 64

    def new_names(self, count):
        first = self.made
        self.made += count
        return [self.peer.name(number) for number in range(first, self.made)]

    def index(self, count):
        part = self.peer.memory(PART_BLOCKS, VALUE_BYTES)
        for first in range(0, count, PART_BLOCKS):
            names = self.new_names(min(PART_BLOCKS, count - first))
            self.peer.put(names, part)
            self.indexed += names
        return [count]

    def lookup(self, calls):
        times = []
        for _ in range(calls):
            names = random.choices(self.indexed, k=CHAIN_BLOCKS)
            start = time.perf_counter_ns()
            known = self.peer.look_up(names)
            times.append(time.perf_counter_ns() - start)
            expect(known == CHAIN_BLOCKS, "lookup")
        return summary(times)

    def fill(self, count, length):
        expect(self.block_memory is None, "blocks are made once")
        self.block_memory = self.peer.memory(count, length)
        return [count]

    def put(self, calls):
        times = []
        for _ in range(calls):
            names = self.new_names(self.block_memory.count)
            start = time.perf_counter_ns()
            self.peer.put(names, self.block_memory)
            times.append(time.perf_counter_ns() - start)
            self.kept += names
        return summary(times)

    def drop(self):
        count = len(self.kept)
        for first in range(0, count, PART_BLOCKS):
            self.peer.drop(self.kept[first : first + PART_BLOCKS])
        self.kept = []
        return [count]

    def get(self, calls, use=lambda found: None):
        names, times = self.last_names(), []
        for _ in range(calls):
            start = time.perf_counter_ns()
            found = self.peer.get(names, self.block_memory)
            use(found)
            self.peer.release(found)
            times.append(time.perf_counter_ns() - start)
        return summary(times)

    def touch(self, calls):
        return self.get(calls, self.peer.touch)

    def out(self, calls):
        return self.get(calls, self.peer.copy)

    def one(self, calls):
        chosen = [[name] for name in random.choices(self.last_names(), k=calls)]
        start = time.perf_counter_ns()
        for names in chosen:
            self.peer.release(self.peer.get(names, self.block_memory))
        return [(time.perf_counter_ns() - start) / calls]

    def verify(self):
        memory = self.block_memory
        if not self.peer.is_lent:
            ctypes.memset(memory.target, 0, memory.count * memory.length)
        found = self.peer.get(self.last_names(), memory)
        for at in range(memory.count):
            same = self.peer.bytes_of(found, at, memory) == memory.payload(at)
            expect(same, "a block comes back otherwise than it was put")
        self.peer.release(found)
        return [memory.count]

    def last_names(self):
        expect(len(self.kept) >= self.block_memory.count, "blocks that were put")
        return self.kept[-self.block_memory.count :]


def summary(times):
    """Median, 99th percentile and mean."""
    ordered = sorted(times)
    return [ordered[len(ordered) // 2], ordered[len(ordered) - 1 - len(ordered) // 100], sum(times) / len(times)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_parent():
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def expect(is_well, what):
    if not is_well:
        sys.exit(f"{sys.argv[1]}: {what}")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in PEERS:
        sys.exit(f"peers.py PEER DIRECTORY, where PEER is one of {', '.join(PEERS)}")
    # What libraries print is not an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = PEERS[sys.argv[1]](sys.argv[2])
    orders = Orders(peer)
    try:
        for line in sys.stdin:
            order, *numbers = line.split()
            answer = getattr(orders, order)(*map(int, numbers))
            print(*answer, file=answers, flush=True)
    finally:
        peer.close()
    # Their threads are not waited for.
    answers.flush()
    os._exit(0)


main()
