"""Two sessions of one seed are told the same about time, themselves and chance, also by the back doors of plain Python."""

import asyncio
import os

from astra_jobs.sandbox.pool import process_sandbox
from astra_jobs.sandbox.protocol import SandboxLimits
from tests.conformance.sandbox.ways import once

ASKS = """
import datetime
class Mine(datetime.datetime):
    pass
def f():
    import _datetime, _random, _thread, datetime, multiprocessing, os, posix, random, resource, socket, threading, time
    kinds = [*datetime.datetime.__mro__, *datetime.datetime.__bases__, datetime.datetime.__base__, type(datetime.datetime.min)]
    return [
        time.ctime(), time.asctime(), list(os.times()), list(resource.getrusage(0)), os.getpid(), os.getppid(), posix.getpid(),
        os.getpgrp(), threading.get_native_id(), threading.get_ident(), _thread.get_ident(), str(threading.current_thread()),
        _random.Random().random(), random.Random().random(), random.Random.__mro__[0]().random(), random.SystemRandom().random(),
        [str(kind.now()) for kind in kinds if hasattr(kind, "now")], str(_datetime.datetime.now()),
        [str(kind.now()) for kind in datetime.datetime.mro() if hasattr(kind, "now")], [kind.__name__ for kind in Mine.mro()],
        os.getuid(), os.geteuid(), os.getgid(), os.getegid(), posix.getuid(), os.getresuid(), os.getresgid(), os.getgroups(),
        os.getpgid(0), os.getpgid(os.getpid()), os.getsid(0), os.sysconf("SC_AVPHYS_PAGES"), list(os.uname())[1:4],
        os.sysconf(os.sysconf_names["SC_AVPHYS_PAGES"]), socket.gethostname(), os.cpu_count(), multiprocessing.cpu_count(),
        sorted(os.sched_getaffinity(0)),
        os.getloadavg(),
    ]
"""
DATES = """
import datetime
class Mine(datetime.datetime):
    pass
def f():
    now = datetime.datetime.now()
    return [
        isinstance(now, datetime.date), isinstance(now.date(), datetime.date), not isinstance(now.date(), datetime.datetime),
        issubclass(datetime.datetime, datetime.date), not isinstance(now, Mine), isinstance(Mine.now(), Mine),
        isinstance(Mine.now(), datetime.datetime),
        now - datetime.timedelta(1) < now, datetime.datetime.min < now < datetime.datetime.max, datetime.date.min < datetime.date.today(),
    ]
"""


def test_what_differs_from_process_to_process_is_hidden() -> None:
    async def body() -> None:
        async with process_sandbox(SandboxLimits(), prove=False) as one, process_sandbox(SandboxLimits(), prove=False) as other:
            first, same, elsewhere = await once(one, ASKS), await once(one, ASKS), await once(other, ASKS)
            assert first.outcome == "ok", first
            assert first.value == same.value == elsewhere.value
            assert os.uname().release not in first.text

    asyncio.run(body())


def test_virtual_dates_pass_for_dates() -> None:
    async def body() -> None:
        async with process_sandbox(SandboxLimits(), prove=False) as engine:
            result = await once(engine, DATES)
            assert result.value == [True] * 10, result

    asyncio.run(body())
