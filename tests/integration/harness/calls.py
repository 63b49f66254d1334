"""How often the gateway's threads called the allocator and the kernel: tests/support/call_counter.cpp counts."""

import collections
import mmap
import pathlib
import struct

NAMES_SIZE = 4096
THREADS = 64
ALLOCATIONS = ("malloc", "calloc", "realloc", "aligned")


class Calls:
    """Before the gateway starts: `environment` is for it. From then on, counts by thread."""

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path):
        library = binary.parent / "tests" / "call_counter.so"
        assert library.is_file(), f"{library} is not built"
        self._file = folder / "calls"
        self.environment = {"LD_PRELOAD": str(library), "SALLYPORT_CALLS": str(self._file)}
        self._map = None
        self._names: list[str] = []

    def by_thread(self) -> dict[int, collections.Counter]:
        """Since the start."""
        if self._map is None:
            with self._file.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            self._names = self._map[:NAMES_SIZE].rstrip(b"\0").decode().split()
        row = struct.Struct(f"={1 + len(self._names)}Q")
        found = {}
        for number in range(THREADS):
            thread, *counts = row.unpack_from(self._map, NAMES_SIZE + number * row.size)
            if thread:
                found[thread] = collections.Counter(dict(zip(self._names, counts)))
        return found


class Worker:
    """The counts of the one thread that has sockets with clients: `exchange` makes it show itself."""

    def __init__(self, calls: Calls, exchange):
        self._calls = calls
        before = calls.by_thread()
        exchange()
        after = calls.by_thread()
        sent = {thread: counts - before.get(thread, collections.Counter()) for thread, counts in after.items()}
        senders = [thread for thread, counts in sent.items() if counts["send"] + counts["sendto"] + counts["sendmsg"]]
        assert len(senders) == 1, f"the exchange was to be one thread's: {sent}"
        self._thread = senders[0]

    def counts(self) -> collections.Counter:
        return self._calls.by_thread()[self._thread]
