"""Holding more memory than the limit, in whatever form the system keeps it."""

from tests.attacks.attack import attack
from tests.attacks.proofs import at_least, returned
from tests.attacks.walls import CHANGE, DESCRIPTORS, FILE_SIZE, IPC, MEMORY, OPEN, PRIVILEGES
from tests.attacks.weapons import ctypes, raw

FULL = 300 << 20
"""More than any session of the battery may have, bytes."""
HELD = {"proof": at_least(FULL), "outcomes": "limit_memory"}
OUTSIDE = 64 << 20
"""Memory that the address space does not count: less, because each session could take as much."""


@attack("memory", MEMORY, **HELD)
def one_huge_list(**a):
    """Ask for all at once."""
    return 8 * len([None] * (40 << 20))


@attack("memory", MEMORY, **HELD)
def one_huge_text(**a):
    """Repeat bytes in one long operation of C."""
    return len(b"x" * (300 << 20))


@attack("memory", MEMORY, **HELD)
def doubling_text(**a):
    """Grow by doubling."""
    text = "x" * 1200
    while len(text) < 300 << 20:
        text += text
    return len(text)


@attack("memory", MEMORY, proof=at_least(FULL), outcomes="limit_memory")
def many_small_objects(**a):
    """Grow by many small pieces."""
    pieces = []
    while len(pieces) * 1024 < 300 << 20:
        pieces.append(bytes(1024))
    return len(pieces) * 1024


@attack("memory", MEMORY, calls=6, **HELD)
def slow_leak(**a):
    """Keep a little more after every call."""
    import sys

    kept = sys.__dict__.setdefault("leaked", [])
    kept.append(bytes(60 << 20))
    return sum(map(len, kept))


@attack("memory", MEMORY, proof=at_least(FULL), outcomes="tool_error ok limit_memory")
def catch_and_go_on(**a):
    """Take every MemoryError as a reason to try again with less."""
    kept, step, held = [], 64 << 20, 0
    while step > 1 << 16 and held < 300 << 20:
        try:
            kept.append(bytes(step))
            held += step
        except MemoryError:
            step //= 2
    return held


@attack("memory", MEMORY, outcomes="limit_memory tool_error", proof=at_least(FULL))
def anonymous_mapping(**a):
    """Map pages and touch them."""
    import mmap

    pages = mmap.mmap(-1, 300 << 20)
    for start in range(0, len(pages), 4096):
        pages[start] = 1
    return len(pages)


@attack("memory", MEMORY, outcomes="tool_error", proof=at_least(FULL))
def mapping_below_python(**a):
    """Map pages by the C library, shared instead of private."""
    kind = ctypes()
    library = kind.CDLL(None, use_errno=True)
    library.mmap.restype = kind.c_void_p
    library.mmap.argtypes = (kind.c_void_p, kind.c_size_t, kind.c_int, kind.c_int, kind.c_int, kind.c_long)
    address = library.mmap(None, 300 << 20, 3, 0x21, -1, 0)
    if address in (None, 2**64 - 1):
        raise OSError(kind.get_errno(), "mmap")
    return 300 << 20


@attack("memory", MEMORY, proof=at_least(FULL))
def heap_by_brk(**a):
    """Move the end of the heap."""
    kind = ctypes()
    library = kind.CDLL(None, use_errno=True)
    library.sbrk.restype = kind.c_void_p
    library.sbrk.argtypes = (kind.c_long,)
    moved = 0
    for _ in range(8):
        if library.sbrk(50 << 20) in (None, 2**64 - 1):
            raise OSError(kind.get_errno(), "sbrk")
        moved += 50 << 20
    return moved


@attack("memory", MEMORY, proof=at_least(FULL))
def grown_mapping(**a):
    """Map little and have it grown."""
    import mmap

    pages = mmap.mmap(-1, 4096)
    pages.resize(300 << 20)
    return len(pages)


@attack("memory", MEMORY, PRIVILEGES, alone=(MEMORY,), outcomes="tool_error limit_memory", proof=at_least(FULL))
def raise_the_memory_limit(**a):
    """Lift the limit first."""
    kind = ctypes()
    hard = (kind.c_ulong * 2)()
    raw("prlimit64", 0, 9, None, hard)
    for wanted in (2**64 - 1, hard[1]):
        try:
            raw("prlimit64", 0, 9, (kind.c_ulong * 2)(wanted, wanted), None)
            break
        except OSError:
            continue
    return len(b"x" * (300 << 20))


@attack("memory", MEMORY, outcomes="limit_memory limit_time tool_error", proof=returned("deep"))
def deep_recursion(**a):
    """Lift Python's recursion limit and call ever deeper."""
    import sys

    sys.setrecursionlimit(10**9)

    def down(left):
        return down(left - 1) if left else "deep"

    return down(2_000_000)


@attack("memory", MEMORY, outcomes="limit_memory tool_error", proof=returned("deep"))
def nested_generators(**a):
    """Build a tower of iterators."""
    tower = iter(())
    for _ in range(200_000):
        tower = zip(tower, bytes(1400), strict=False)
    import sys

    sys.__dict__["tower"] = tower
    return "deep"


@attack("memory", MEMORY, proof=at_least(FULL), outcomes="limit_memory")
def decompression_bomb(**a):
    """Unpack a few hundred kilobytes into hundreds of megabytes."""
    import zlib

    packer = zlib.compressobj(9)
    packed = packer.compress(bytes(16 << 20)) + packer.flush()
    return sum(map(len, [zlib.decompress(packed) for _ in range(20)]))


@attack("memory", MEMORY, **HELD)
def huge_integer(**a):
    """Hold it in one number."""
    return (1 << (8 * (300 << 20))).bit_length() // 8


@attack("memory", MEMORY, **HELD)
def huge_padding(**a):
    """Have a format specification allocate it."""
    return len(f"{1:>314572800}")


@attack("memory", CHANGE, FILE_SIZE, proof=at_least(OUTSIDE))
def file_in_memory(**a):
    """Write into a file that is memory and not address space."""
    import os

    file, part, held = raw("memfd_create", b"x", 0), bytes(1 << 20), 0
    while held < 64 << 20:
        held += os.write(file, part)
    return held


@attack("memory", DESCRIPTORS, proof=at_least(32 << 20))
def kernel_buffers_of_pipes(**a):
    """Fill many pipes, whose buffers are the kernel's memory."""
    import fcntl
    import os

    held = 0
    for _ in range(40):
        _, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
        size = fcntl.fcntl(writer, 1031, 1 << 20)
        held += os.write(writer, bytes(size))
    return held


@attack("memory", IPC, proof=at_least(FULL))
def shared_segments(**a):
    """Keep it in System V segments: no address space while they are not attached, and they outlive the session."""
    made = [raw("shmget", 0, 100 << 20, 0o1600) for _ in range(4)]
    for number in made:
        raw("shmctl", number, 0, None)
    return 100 * len(made) << 20


@attack("memory", OPEN, CHANGE, FILE_SIZE, proof=at_least(OUTSIDE))
def fill_shared_memory_folder(**a):
    """Fill /dev/shm, which every process of the pod shares."""
    held = 0
    with open("/dev/shm/astra-attack", "wb") as file:
        while held < 64 << 20:
            held += file.write(bytes(1 << 20))
            file.flush()
    return held


@attack("memory", DESCRIPTORS, proof=at_least(1000))
def leak_descriptors(**a):
    """Open ever more descriptors."""
    import os

    return max(os.dup(1) for _ in range(1100))


@attack("memory", MEMORY, PRIVILEGES, alone=(MEMORY,), proof=returned())
def pin_memory(**a):
    """Lock pages, so that they are never given back."""
    import mmap

    page = ctypes().c_char.from_buffer(mmap.mmap(-1, 4096))
    return raw("mlock", ctypes().byref(page), 4096) == 0
