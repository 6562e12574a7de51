"""What a pool is told when it starts: walls, bounds and what must not matter to a verified tool.

Nothing here reads the environment or a file; a server's flags and a job's spec are turned into these by their owners.
"""

from typing import NamedTuple

from astra_jobs.sandbox.protocol import SandboxLimits

EPOCH = 1_767_225_600.0
"""Start of every session's clock: 1 January 2026, UTC."""
OTHER_EPOCH = EPOCH + 123_456_789.0


class Variant(NamedTuple):
    """One of the sandboxes that differ in what must not matter to a tool; fields of ``PoolSettings``."""

    hash_seed: int
    epoch: float
    uid_block: int
    scatter: int


VARIANTS = (Variant(0, EPOCH, 0, 0), Variant(1, OTHER_EPOCH, 1, 64))
"""Variants by their numbers: the sandbox of record, and the one that its results are compared with."""


class Walls(NamedTuple):
    """What stops tool code, each under the name of what it stops. All are on; one is switched off in tests only.

    A single wall off is a positive control: it shows that an attack works where that wall alone is missing. Categories
    of system calls answer EPERM. Where one deed meets two walls, both have to be off for it to succeed.
    """

    network: bool = True
    """Every socket call, also on descriptors that exist: no TCP, UDP, raw, netlink or unix sockets."""
    processes: bool = True
    """fork, vfork, clone, execve, execveat; RLIMIT_NPROC 0 while this and ``threads`` are on."""
    threads: bool = True
    """clone with CLONE_THREAD; clone3 is ENOSYS while this, ``processes`` or ``namespaces`` is on."""
    signals: bool = True
    """kill, tkill, tgkill, the sigqueue and pidfd forms, to anybody, the own process included; fcntl's owner signals."""
    files_open: bool = True
    """Opening, listing and looking up files by path: open, stat, readlink, access, getdents, chdir, inotify and the like."""
    files_change: bool = True
    """Making, changing and removing files; opening for writing also where ``files_open`` is off, and openat2 at all; memfd_create."""
    privileges: bool = True
    """set*id, capset, prctl, setrlimit; and all capabilities are dropped."""
    namespaces: bool = True
    """unshare, setns, mount and its new forms, chroot, pivot_root, clone with CLONE_NEW flags."""
    tracing: bool = True
    """ptrace, process_vm_readv and writev, pidfd_open, pidfd_getfd, process_madvise, kcmp, other processes' CPU clocks, mincore."""
    kernel: bool = True
    """bpf, keyring, io_uring, userfaultfd, modules, perf, kexec, clocks, personality, ioctl, seccomp, landlock and the like."""
    ipc: bool = True
    """System V shared memory, semaphores and messages; POSIX message queues."""
    memory: bool = True
    """RLIMIT_AS (``limits.memory_mib``) and RLIMIT_STACK; mlock."""
    cpu: bool = True
    """The CPU limit of a call: a profiling timer at its default action, the watchdog, RLIMIT_CPU; no handlers, no priorities."""
    wall: bool = True
    """The wall limit of a call, for tools that wait instead of working."""
    file_size: bool = True
    """RLIMIT_FSIZE 0: no byte is ever added to a file; RLIMIT_CORE 0 stays in any case."""
    descriptors: bool = True
    """RLIMIT_NOFILE of 16, nothing inherited but the session's socket, and of fcntl what leaves the file behind a descriptor alone."""
    own_uid: bool = True
    """A user id of its own for each live session, where the pool may give one (variant ``own``)."""
    dumpable: bool = True
    """Not dumpable: its /proc entries belong to root, and no process of the same user can attach to it."""
    output: bool = True
    """``limits.output_chars``; off, only the supervisor's bound of 64 MiB a frame is left."""
    encoder: bool = True
    """Results are what ``json`` writes, of bounded depth, read by no method of the tool's; off, whatever ``json`` can encode passes."""
    recursion: bool = True
    """Recursion and integer-text limits are put back before every call."""


class PoolSettings(NamedTuple):
    """All that an ``Engine`` needs to know."""

    limits: SandboxLimits = SandboxLimits()
    hash_seed: int = 0
    epoch: float = EPOCH
    """Seconds since 1970 at which every session's clock starts."""
    scatter: int = 0
    """Free blocks of memory of each size that an environment's sessions find in no order."""
    live: int = 256
    """Most live session processes; an idle one makes room and comes back by replay."""
    environments: int = 64
    """Most environment zygotes; one that serves nobody makes room first."""
    zygote_mib: int = 1024
    """Memory of all environment zygotes together, as they report it, above which the least recently used one goes."""
    bundles: int = 8_192
    """Most registered environments; above it, the least recently put one that has no session is forgotten."""
    sessions: int = 200_000
    """Most open sessions, with or without a process."""
    log_mib: int = 512
    """Memory of all sessions' calls: arguments, texts and what is kept with them; above it, idle sessions end."""
    session_log_mib: int = 16
    """Arguments and texts that one session's history may hold; a call that would make it longer is refused."""
    parallel: int = 64
    """Most sessions with a call running; others wait their turn, and one whose call stands still does not count."""
    queue: int = 65_536
    """Most calls that wait or run, in all."""
    session_queue: int = 1_024
    """Most calls of one session that wait or run."""
    lease_seconds: float | None = None
    """Seconds without a call or a heartbeat after which a session ends; None: never."""
    uid_base: int | None = None
    """First of ``live`` user ids for sessions; None: a range that the system maps, chosen by process id."""
    uid_block: int = 0
    """Which range from there on; pools of one process need ranges of their own."""
    walls: Walls = Walls()
    prove: bool = True
    """Prove every wall at start; off for tests that need many pools."""

    def variant(self, number: int) -> "PoolSettings":
        """Return the settings of a variant; those of number 0 are these."""
        return self._replace(**VARIANTS[number]._asdict()) if number else self
