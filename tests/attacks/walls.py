"""Names of what stops attacks: the fields of ``Walls``, and three that are no switch of a pool.

``FRAMES`` is the supervisor's mistrust of a session's socket: its control is a supervisor that believes everything.
``ARCHITECTURE`` is that other architectures' calls are refused, ``REPEATS`` that a session's clock, chance and order
repeat: the control of both is plain Python.
"""

NETWORK, PROCESSES, THREADS, SIGNALS, IPC = "network", "processes", "threads", "signals", "ipc"
OPEN, CHANGE, FILE_SIZE, DESCRIPTORS = "files_open", "files_change", "file_size", "descriptors"
PRIVILEGES, NAMESPACES, TRACING, KERNEL, OWN_UID, DUMPABLE = "privileges", "namespaces", "tracing", "kernel", "own_uid", "dumpable"
MEMORY, CPU, WALL, OUTPUT, ENCODER, RECURSION = "memory", "cpu", "wall", "output", "encoder", "recursion"
FRAMES, REPEATS, ARCHITECTURE = "frames", "repeats", "architecture"
NO_SWITCH = frozenset({FRAMES, REPEATS, ARCHITECTURE})
