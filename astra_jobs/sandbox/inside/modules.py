"""Which modules of the standard library tools may use, and how each comes into a session, which opens no files.

``WARM`` is loaded once in the base zygote, ``WANTED`` in an environment's zygote where a tool's source imports it, so
that sessions of other environments do not pay for it at their fork. ``IMPORTABLE`` is what the static gate of synthesis
lets tools import: modules that compute only, or that a session seeds and puts on its virtual clock. ``PARTLY`` are
modules of which the gate lets some names through. ``REFUSED`` says which policy keeps the others out, for a message; that
they are loaded all the same is for the attack battery: a restriction is not proven by a module that happens to be missing.
"""

BASIC: tuple[str, ...] = (
    "__future__", "abc", "array", "ast", "base64", "binascii", "bisect", "calendar", "cmath", "collections", "collections.abc",
    "contextlib", "copy", "dataclasses", "datetime", "decimal", "difflib", "enum", "errno", "fractions", "functools", "hashlib",
    "heapq", "hmac", "html", "ipaddress", "itertools", "json", "math", "numbers", "operator", "pprint", "random", "re", "reprlib",
    "secrets", "statistics", "string", "struct", "textwrap", "time", "traceback", "types", "typing", "unicodedata", "urllib.parse",
    "uuid", "warnings", "weakref", "zlib",
)  # fmt: skip
WANTED: tuple[str, ...] = (
    "argparse", "asyncio", "bz2", "codecs", "colorsys", "configparser", "contextvars", "copyreg", "csv", "dis", "doctest", "email",
    "email.charset", "email.encoders", "email.errors", "email.generator", "email.header", "email.headerregistry", "email.message",
    "email.mime.base", "email.mime.multipart", "email.mime.text", "email.parser", "email.policy", "email.utils", "fnmatch", "getopt",
    "gettext", "graphlib", "gzip", "html.entities", "html.parser", "http", "http.cookies", "json.decoder", "json.encoder",
    "json.tool", "keyword", "linecache", "locale", "logging", "logging.config", "logging.handlers", "lzma", "optparse",
    "plistlib", "queue", "quopri", "sched", "shlex", "stat", "stringprep", "symtable", "tarfile", "timeit", "token", "tokenize",
    "tomllib", "unittest", "unittest.mock", "urllib.error", "xml", "xml.dom", "xml.dom.expatbuilder",
    "xml.dom.minidom", "xml.dom.pulldom", "xml.etree", "xml.etree.ElementTree",
    "xml.parsers", "xml.parsers.expat", "xml.sax", "xml.sax.handler", "xml.sax.saxutils", "zipfile", "zoneinfo",
)  # fmt: skip
ALONG: dict[str, tuple[str, ...]] = {
    "zipfile": ("encodings.cp437",),
    "encodings.idna": ("encodings.punycode",),
    "email": ("encodings.iso8859_1",),
    "logging": ("configparser",),
    "tarfile": ("bz2", "gzip", "lzma"),
}
"""What a module loads late by itself."""
PARTLY: dict[str, frozenset[str]] = {
    "os": frozenset(
        {"PathLike", "altsep", "curdir", "environ", "extsep", "fsdecode", "fsencode", "fspath", "getenv", "linesep", "name", "pardir",
         "path", "pathsep", "sep", "urandom"}
    ),
    "os.path": frozenset(
        {"basename", "commonpath", "commonprefix", "dirname", "exists", "isabs", "join", "normcase", "normpath", "sep", "split",
         "splitdrive", "splitext"}
    ),
    "posixpath": frozenset({"basename", "commonpath", "commonprefix", "dirname", "isabs", "join", "normpath", "split", "splitext"}),
    "pathlib": frozenset({"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath"}),
    "io": frozenset(
        {"BufferedIOBase", "BufferedReader", "BytesIO", "IOBase", "RawIOBase", "SEEK_CUR", "SEEK_END", "SEEK_SET", "StringIO", "TextIOBase",
         "TextIOWrapper", "UnsupportedOperation"}
    ),
    "sys": frozenset(
        {"argv", "byteorder", "exc_info", "exit", "float_info", "getdefaultencoding", "getrecursionlimit", "getsizeof", "hash_info",
         "implementation", "int_info", "intern", "maxsize", "maxunicode", "platform", "set_int_max_str_digits", "setrecursionlimit",
         "stderr", "stdin", "stdout", "version", "version_info"}
    ),
    "threading": frozenset(
        {"BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore", "active_count",
         "current_thread", "get_ident", "local", "main_thread"}
    ),
    "inspect": frozenset(
        {"BoundArguments", "Parameter", "Signature", "cleandoc", "getattr_static", "getdoc", "getfullargspec", "getmembers", "getmro",
         "getsource", "isabstract", "isasyncgen", "isasyncgenfunction", "isawaitable", "isbuiltin", "isclass", "iscoroutine",
         "iscoroutinefunction", "isfunction", "isgenerator", "isgeneratorfunction", "ismethod", "ismodule", "isroutine", "signature",
         "unwrap"}
    ),
}  # fmt: skip
"""What of a module computes only; ``sys.setrecursionlimit`` lasts for one call."""
REFUSED: dict[str, tuple[str, ...]] = {
    "network": (
        "asyncore", "asynchat", "ftplib", "http.client", "http.server", "imaplib", "nntplib", "poplib", "smtpd", "smtplib", "socket",
        "socketserver", "ssl", "telnetlib", "urllib.request", "urllib.robotparser", "webbrowser", "wsgiref", "xmlrpc", "aiohttp", "httpx",
        "requests", "urllib3", "select", "selectors",
    ),
    "files": (
        "dbm", "fcntl", "filecmp", "fileinput", "glob", "mailbox", "mimetypes", "mmap", "netrc", "shelve", "shutil", "tempfile", "zipapp",
        "zipimport",
    ),
    "processes": ("multiprocessing", "pty", "pwd", "grp", "resource", "subprocess", "platform", "posix", "sysconfig", "syslog"),
    "threads": ("_thread", "concurrent.futures", "concurrent"),
    "signals": ("signal", "faulthandler", "atexit"),
    "determinism": ("sqlite3", "crypt"),
    "interpreter": (
        "builtins", "cProfile", "ctypes", "gc", "pdb", "bdb", "profile", "pstats", "site", "trace", "tracemalloc", "_ctypes", "_datetime",
        "_random",
    ),
    "dynamicCode": (
        "code", "codeop", "compileall", "imp", "importlib", "marshal", "pickle", "pickletools", "pkgutil", "py_compile", "runpy",
    ),
    "terminal": ("cmd", "curses", "getpass", "pydoc", "readline", "rlcompleter", "termios", "tkinter", "tty", "turtle"),
}  # fmt: skip
"""Policy → modules that it keeps out of tools; any other module that is not listed is kept out by ``imports``."""
LATE: tuple[str, ...] = ("_strptime", "encodings.ascii", "encodings.idna", "encodings.latin_1", "encodings.utf_16", "inspect", "tempfile")
DANGEROUS: tuple[str, ...] = (
    "ctypes", "fcntl", "gc", "glob", "io", "mmap", "multiprocessing", "os", "pathlib", "resource", "select", "selectors", "shutil",
    "signal", "socket", "subprocess", "sys", "threading",
)  # fmt: skip
WARM = (*BASIC, *LATE, *DANGEROUS)
IMPORTABLE: frozenset[str] = frozenset((*BASIC, *WANTED))
PACKAGES: frozenset[str] = frozenset({"email.mime", "urllib", "os"})
"""What is no module of its own above but stands in front of a dot: ``from urllib import parse``."""
