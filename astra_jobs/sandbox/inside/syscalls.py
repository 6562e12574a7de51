"""Numbers of the system calls that sessions may not make, by the wall that stops them.

Written as ``name x86_64 aarch64``, a dash where an architecture has none; a call that two walls stop is there twice.
Calls newer than ``NEWEST`` are refused as unknown, so that a new kernel opens no door. What is not listed is allowed: an
allow-list breaks harmless tools with every new C library.
"""

NEWEST = 471
"""Highest number that this table was made from."""

_TABLE = {
    "network": """
        socket 41 198, connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242, socketpair 53 199, sendto 44 206,
        sendmsg 46 211, sendmmsg 307 269, recvfrom 45 207, recvmsg 47 212, recvmmsg 299 243, setsockopt 54 208, getsockopt 55 209,
        getsockname 51 204, getpeername 52 205, shutdown 48 210
    """,
    "processes": """
        fork 57 -, vfork 58 -, execve 59 221, execveat 322 281
    """,
    "signals": """
        kill 62 129, tkill 200 130, tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, pidfd_send_signal 424 424
    """,
    "files_open": """
        open 2 -, openat 257 56, openat2 437 437, creat 85 -, name_to_handle_at 303 264, open_by_handle_at 304 265, stat 4 -, lstat 6 -,
        newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78, getdents
        78 -, getdents64 217 61, getcwd 79 17, chdir 80 49, fchdir 81 50, statfs 137 43, fstatfs 138 44, ustat 136 -, inotify_init 253
        -, inotify_init1 294 26, inotify_add_watch 254 27, fanotify_init 300 262, fanotify_mark 301 263, getxattr 191 8, lgetxattr 192
        9, fgetxattr 193 10, listxattr 194 11, llistxattr 195 12, flistxattr 196 13, getxattrat 464 464, listxattrat 465 465,
        file_getattr 468 468, quotactl 179 60, quotactl_fd 443 443, lookup_dcookie 212 18
    """,
    "files_change": """
        creat 85 -, mkdir 83 -, mkdirat 258 34, mknod 133 -, mknodat 259 33, rename 82 -, renameat 264 38, renameat2 316 276, link 86 -,
        linkat 265 37, symlink 88 -, symlinkat 266 36, unlink 87 -, unlinkat 263 35, rmdir 84 -, chmod 90 -, fchmod 91 52, fchmodat 268 53,
        fchmodat2 452 452, chown 92 -, fchown 93 55, lchown 94 -, fchownat 260 54, truncate 76 45, ftruncate 77 46, fallocate 285 47, utime
        132 -, utimes 235 -, futimesat 261 -, utimensat 280 88, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, setxattrat 463 463,
        removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16, removexattrat 466 466, file_setattr 469 469, copy_file_range 326 285,
        sendfile 40 71, memfd_create 319 279, memfd_secret 447 447, sync 162 81, syncfs 306 267, umask 95 166, flock 73 32
    """,
    "privileges": """
        setuid 105 146, setgid 106 144, setreuid 113 145, setregid 114 143, setresuid 117 147, setresgid 119 149, setfsuid 122 151,
        setfsgid 123 152, setgroups 116 159, capset 126 91, setrlimit 160 164, setpgid 109 154, setsid 112 157,
        lsm_set_self_attr 460 460
    """,
    "namespaces": """
        unshare 272 97, setns 308 268, mount 165 40, umount2 166 39, chroot 161 51, pivot_root 155 41, fsopen 430 430, fsconfig 431 431,
        fsmount 432 432, fspick 433 433, open_tree 428 428, open_tree_attr 467 467, move_mount 429 429, mount_setattr 442 442, statmount
        457 457, listmount 458 458, listns 470 470
    """,
    "tracing": """
        ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, pidfd_open 434 434, pidfd_getfd 438 438, process_madvise
        440 440, process_mrelease 448 448, kcmp 312 272, get_robust_list 274 100, mincore 27 232, cachestat 451 451
    """,
    "kernel": """
        bpf 321 280, add_key 248 217, request_key 249 218, keyctl 250 219, io_uring_setup 425 425, io_uring_enter 426 426,
        io_uring_register 427 427, io_setup 206 0, io_submit 209 2, io_destroy 207 1, io_cancel 210 3, io_getevents 208 4, io_pgetevents
        333 292, userfaultfd 323 282, init_module 175 105, finit_module 313 273, delete_module 176 106, create_module 174 -,
        query_module 178 -, get_kernel_syms 177 -, kexec_load 246 104, kexec_file_load 320 294, perf_event_open 298 241, reboot 169 142,
        swapon 167 224, swapoff 168 225, syslog 103 116, _sysctl 156 -, sysfs 139 -, settimeofday 164 170, clock_settime 227 112,
        adjtimex 159 171, clock_adjtime 305 266, sethostname 170 161, setdomainname 171 162, iopl 172 -, ioperm 173 -, modify_ldt 154 -,
        personality 135 92, acct 163 89, vhangup 153 58, nfsservctl 180 42, uselib 134 -, seccomp 317 277, landlock_create_ruleset 444
        444, landlock_add_rule 445 445, landlock_restrict_self 446 446, ioctl 16 29, splice 275 76, tee 276 77, vmsplice 278 75, mbind
        237 235, set_mempolicy 238 237, set_mempolicy_home_node 450 450, migrate_pages 256 238, move_pages 279 239, remap_file_pages 216
        234, map_shadow_stack 453 453, uprobe 336 -, uretprobe 335 -, vserver 236 -, afs_syscall 183 -, security 185 -, tuxcall 184 -,
        getpmsg 181 -, putpmsg 182 -, lsm_get_self_attr 459 459, lsm_list_modules 461 461
    """,
    "ipc": """
        shmget 29 194, shmat 30 196, shmctl 31 195, shmdt 67 197, semget 64 190, semop 65 193, semctl 66 191, semtimedop 220 192, msgget
        68 186, msgsnd 69 189, msgrcv 70 188, msgctl 71 187, mq_open 240 180, mq_unlink 241 181, mq_timedsend 242 182, mq_timedreceive
        243 183, mq_notify 244 184, mq_getsetattr 245 185
    """,
    "memory": """
        mlock 149 228, mlock2 325 284, mlockall 151 230
    """,
    "cpu": """
        rt_sigaction 13 134, rt_sigprocmask 14 135, signalfd 282 -, signalfd4 289 74, timer_create 222 107, setpriority 141 140,
        ioprio_set 251 30, sched_setscheduler 144 119, sched_setattr 314 274, sched_setparam 142 118, sched_setaffinity 203 122
    """,
}

ARGUMENTS = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "prlimit64": (302, 261),
    "fcntl": (72, 25),
    "clock_gettime": (228, 113),
    "prctl": (157, 167),
    "openat": (257, 56),
    "open": (2, None),
    "openat2": (437, 437),
    "open_by_handle_at": (304, 265),
}
"""Calls that are judged by their arguments, not by category alone."""


def numbers(wall: str, column: int) -> dict[str, int]:
    """Return name → number of a wall's system calls; ``column`` is 0 for x86_64 and 1 for aarch64."""
    found = {}
    for entry in _TABLE[wall].split(","):
        name, *columns = entry.split()
        if columns[column] != "-":
            found[name] = int(columns[column])
    return found


CATEGORIES = tuple(_TABLE)
