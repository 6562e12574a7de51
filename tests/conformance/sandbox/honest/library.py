"""Modules of the standard library that compute only."""

TOOLS: dict[str, str] = {}

TOOLS["tables"] = '''
import csv, io, configparser, tomllib, json, string, textwrap, pprint, shlex

CSV = """id,name,price
1,"apple, red",0.5
2,pear,0.75
"""


def tables():
    rows = list(csv.DictReader(io.StringIO(CSV)))
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(["a", 1.5, 'q"x'])
    config = configparser.ConfigParser()
    config.read_string("[a]\\nx = 1\\ny = %(x)s2\\n")
    return [
        rows,
        out.getvalue(),
        dict(config["a"]),
        config.getint("a", "x"),
        tomllib.loads("a = 1\\nd = 2024-01-01\\n[b]\\nc = [1, 2]\\n")["b"],
        csv.Sniffer().sniff("a;b\\n1;2\\n").delimiter,
        string.Template("$who likes $$").substitute(who="tim"),
        string.capwords("a b"),
        textwrap.dedent("  a\\n   b"),
        textwrap.shorten("one two three four", 12),
        pprint.pformat({"b": [1] * 30, "a": "x" * 90}),
        shlex.split("a 'b c' d"),
        json.loads("[1, 2.5, null]"),
    ]
'''
TOOLS["numbers_"] = """
import math, cmath, statistics, decimal, fractions, random, numbers, operator
from decimal import Decimal, localcontext
from fractions import Fraction


def numbers_():
    with localcontext() as ctx:
        ctx.prec = 6
        third = str(Decimal(1) / 3)
    random.seed(7)
    own = random.Random("seed")
    return [
        third,
        str(Decimal("2.675").quantize(Decimal("0.01"))),
        str(Fraction(3, 4) + Fraction(1, 6)),
        statistics.mode([1, 1, 2]),
        statistics.linear_regression([1, 2, 3], [2, 4, 6]).slope,
        statistics.correlation([1, 2, 3], [1, 2, 4]),
        math.isclose(0.1 + 0.2, 0.3),
        math.dist((0, 0), (3, 4)),
        cmath.phase(1j),
        isinstance(Fraction(1), numbers.Rational),
        [random.random(), random.gauss(0, 1), random.sample(range(99), 4)],
        [
            own.random(),
            own.choices("abc", weights=[1, 2, 3], k=5),
            own.shuffle(x := list(range(6))),
            x,
            own.randbytes(4).hex(),
            own.triangular(),
            own.betavariate(1, 2),
        ],
        random.getrandbits(40),
        math.lcm(4, 6),
        math.nextafter(1, 2),
        decimal.getcontext().prec,
    ]
"""
TOOLS["calendars"] = """
import calendar, datetime as dt, time, locale
from datetime import datetime, date, timedelta, timezone, UTC


class Mine(datetime):
    pass


def calendars():
    d = datetime(2024, 2, 29, 13, 5, 7, 89, tzinfo=timezone(timedelta(hours=2), "X"))
    return [
        repr(d),
        repr(d.date()),
        repr(d.time()),
        repr(timedelta(days=1, seconds=5)),
        repr(UTC),
        str([d.date(), d.timetz()]),
        repr(Mine(2024, 1, 1)),
        f"{d:%d/%m/%y %H:%M:%S %Z %j %U}",
        type(d.date()) is date,
        type(d) is datetime,
        {date: "d", datetime: "t"}[type(d)],
        date.fromisocalendar(2024, 9, 4).isoformat(),
        d.astimezone(UTC).isoformat(),
        datetime.strptime("3 Mar 2021 4PM", "%d %b %Y %I%p").isoformat(),
        calendar.month(2024, 2),
        calendar.monthrange(2023, 2),
        calendar.day_name[0],
        list(calendar.Calendar(6).itermonthdays(2024, 2))[:5],
        time.strftime("%Y-%m-%d", time.gmtime(86400)),
        str(time.gmtime(0)),
        time.mktime(time.struct_time((2024, 1, 1, 0, 0, 0, 0, 1, 0))),
        datetime.fromtimestamp(1e9).isoformat(),
        time.asctime(time.gmtime(0)),
        datetime.max.year,
        str(dt.datetime.min),
        dt.MAXYEAR,
        date(2024, 3, 31).replace(day=1).strftime("%A"),
        (date(2025, 1, 1) - date(2024, 1, 1)).days,
        d.isocalendar().week,
        d.timestamp(),
        date.today() >= date(2020, 1, 1),
        issubclass(datetime, date),
        datetime.__name__,
        [k.__name__ for k in Mine.mro()],
        str(type(d)),
        type(Mine.now()).__name__,
        type(datetime.now() - timedelta(1)).__name__,
        datetime.combine(date.min, dt.time.min).isoformat(),
        time.ctime(0),
        time.tzname[0],
        datetime.now().astimezone().tzname(),
    ]
"""
TOOLS["zones"] = """
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones
from datetime import datetime, timedelta


def zones():
    t = datetime(2024, 3, 31, 1, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    try:
        ZoneInfo("Mars/Olympus")
    except ZoneInfoNotFoundError as error:
        said = str(error)
    try:
        ZoneInfo("../etc/passwd")
    except ValueError as error:
        bad = type(error).__name__
    return [
        t.isoformat(),
        (t + timedelta(hours=1)).isoformat(),
        t.astimezone(ZoneInfo("Asia/Tokyo")).isoformat(),
        repr(t.tzinfo),
        t.dst().seconds,
        t.tzname(),
        said,
        bad,
        "America/New_York" in available_timezones(),
        str(ZoneInfo("UTC")),
        datetime(2024, 11, 3, 1, 30, fold=1, tzinfo=ZoneInfo("America/New_York")).utcoffset().total_seconds(),
        datetime(1900, 1, 1, tzinfo=ZoneInfo("Asia/Kolkata")).utcoffset().total_seconds(),
    ]
"""
TOOLS["digests"] = """
import hashlib, hmac, base64, binascii, zlib, struct, array, secrets, uuid, gzip, bz2, quopri, codecs


def digests():
    data = b"the quick brown fox"
    h = hashlib.new("sha1")
    h.update(data)
    return [
        h.hexdigest(),
        hashlib.blake2b(data, digest_size=8).hexdigest(),
        hashlib.sha3_256(data).hexdigest()[:8],
        hmac.compare_digest("a", "a"),
        hmac.new(b"k", data, hashlib.sha512).hexdigest()[:8],
        hashlib.pbkdf2_hmac("sha256", b"p", b"s", 10).hex()[:8],
        base64.urlsafe_b64encode(data).decode(),
        base64.b32encode(b"a").decode(),
        base64.b85encode(b"abcd").decode(),
        zlib.adler32(data),
        zlib.decompress(zlib.compress(data)).decode(),
        struct.unpack(">IH", struct.pack(">IH", 1, 2)),
        array.array("d", [1, 2]).tolist(),
        str(uuid.uuid5(uuid.NAMESPACE_URL, "x")),
        uuid.UUID("12345678123456781234567812345678").version,
        len(secrets.token_hex(8)),
        uuid.uuid4().version,
        gzip.decompress(gzip.compress(data)).decode(),
        bz2.decompress(bz2.compress(data)).decode(),
        codecs.encode("abc", "rot13"),
        binascii.crc32(data),
        len(str(uuid.uuid1())),
    ]
"""
TOOLS["structures"] = """
import heapq, bisect, copy, collections, weakref, graphlib, queue, types, contextvars, reprlib, threading


def structures():
    heap = [5, 1, 4]
    heapq.heapify(heap)
    q = queue.PriorityQueue()
    q.put((2, "b"))
    q.put((1, "a"))
    try:
        queue.Queue().get(timeout=0.5)
    except queue.Empty:
        empty = "empty"
    deep = copy.deepcopy({"a": [1, {"b": 2}]})
    var = contextvars.ContextVar("v", default=3)
    lock = threading.Lock()
    with lock, threading.RLock():
        pass

    class Thing:
        pass

    thing = Thing()
    ref = weakref.ref(thing)
    d = collections.deque(range(5), maxlen=3)
    d.rotate(1)
    chain = collections.ChainMap({"a": 1}, {"b": 2})
    return [
        heapq.nsmallest(2, heap),
        list(heapq.merge([1, 4], [2])),
        bisect.insort(x := [1, 3], 2),
        x,
        q.get(),
        empty,
        deep,
        list(graphlib.TopologicalSorter({"a": {"b"}, "b": set()}).static_order()),
        list(d),
        dict(chain),
        ref() is thing,
        var.get(),
        types.SimpleNamespace(a=1).a,
        reprlib.repr(list(range(99))),
        repr(d),
        repr(chain),
        repr(collections.Counter("aab")),
        threading.Event().wait(0.2),
        lock.locked(),
        collections.Counter("aab").most_common(1),
        repr(collections.OrderedDict(a=1)),
        repr(collections.defaultdict(list, a=[1])),
    ]
"""
TOOLS["texts"] = """
import re, difflib, unicodedata, html, urllib.parse, email.utils, fnmatch, ipaddress, keyword, textwrap, colorsys, gettext, stringprep
from html.parser import HTMLParser
from email.message import EmailMessage
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape


class Links(HTMLParser):
    found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def texts():
    parser = Links()
    parser.feed('<a href="x">t</a>')
    mail = EmailMessage()
    mail["To"] = "a@b.org"
    mail["Subject"] = "hï"
    mail.set_content("body")
    root = ET.fromstring("<r><i n='1'>a</i><i n='2'>b</i></r>")
    return [
        re.sub(r"(?P<y>\\d{4})-(\\d\\d)", r"\\2/\\g<y>", "2024-05"),
        [m.span() for m in re.finditer("a+", "caat")],
        difflib.get_close_matches("appel", ["apple", "peach"]),
        round(difflib.SequenceMatcher(None, "abcd", "bcde").ratio(), 3),
        "".join(difflib.unified_diff(["a\\n"], ["b\\n"])),
        unicodedata.normalize("NFKD", "é").encode("ascii", "ignore").decode(),
        unicodedata.name("☃"),
        html.escape("<a&b>"),
        html.unescape("&eacute;"),
        urllib.parse.urlencode({"q": "a b"}),
        urllib.parse.urlparse("https://u@x.org:8/p?q=1#f").port,
        urllib.parse.quote("ü/"),
        email.utils.parseaddr("Tim <t@x.org>"),
        fnmatch.filter(["a.py", "b.txt"], "*.py"),
        str(ipaddress.ip_network("10.0.0.0/30").num_addresses),
        keyword.iskeyword("for"),
        colorsys.rgb_to_hsv(1, 0, 0),
        parser.found,
        mail.as_string(),
        [(i.get("n"), i.text) for i in root.iter("i")],
        ET.tostring(root, encoding="unicode"),
        escape("<"),
        root.find("i[@n='2']").text,
    ]
"""
TOOLS["paths"] = """
import os, os.path, posixpath
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath


def paths():
    p = PurePosixPath("/a/b/c.tar.gz")
    return [
        os.path.join("a", "b"),
        os.path.splitext("x.txt"),
        os.path.basename("/a/b"),
        os.path.normpath("a/../b"),
        p.suffixes,
        p.stem,
        str(p.parent),
        str(p.with_suffix(".x")),
        p.is_relative_to("/a"),
        str(PureWindowsPath("c:\\\\x") / "y"),
        repr(Path("a") / "b"),
        Path("a/b").parts,
        os.sep,
        os.path.commonpath(["/a/b", "/a/c"]),
        os.path.exists("/no/such/file"),
        os.environ.get("NO_SUCH_KEY", "none"),
        os.getenv("NO_SUCH_KEY"),
        os.path.basename(__file__),
        str(PurePath("x") / "y"),
        os.linesep,
        os.fspath(p),
    ]
"""
TOOLS["syntax_trees"] = """
import ast, operator, argparse, tokenize, io, token, symtable, dis

OPS = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def value(node):
    match node:
        case ast.Constant(v):
            return v
        case ast.BinOp(left, op, right):
            return OPS[type(op)](value(left), value(right))
        case ast.UnaryOp(ast.USub(), operand):
            return -value(operand)
        case _:
            raise ValueError(f"unsupported: {ast.unparse(node)}")


def syntax_trees():
    parser = argparse.ArgumentParser(prog="t")
    parser.add_argument("--n", type=int, default=1)
    parser.add_argument("rest", nargs="*")
    return [
        value(ast.parse("2 + 3 * -4 ** 2", mode="eval").body),
        ast.literal_eval("{'a': (1, 2)}"),
        vars(parser.parse_args(["--n", "3", "x"])),
        [token.tok_name[t.type] for t in tokenize.generate_tokens(io.StringIO("a = 1").readline)][:3],
        ast.dump(ast.parse("x")),
        ast.unparse(ast.parse("x=1 ;y=2")),
    ]
"""
TOOLS["times"] = """
import time, timeit, sched, logging, datetime
from time import perf_counter, sleep, monotonic


def timed(function):
    def inner(*args):
        started = perf_counter()
        result = function(*args)
        spent = perf_counter() - started
        return result, spent

    return inner


@timed
def work(n):
    return sum(range(n))


def times():
    before, used = time.time(), time.process_time()
    result, spent = work(1000)
    sleep(1.5)
    ran = []
    scheduler = sched.scheduler(time.monotonic, time.sleep)
    scheduler.enter(0.5, 1, ran.append, ("late",))
    scheduler.enter(0.1, 1, ran.append, ("soon",))
    scheduler.run()
    until, turns = monotonic() + 0.002, 0
    while monotonic() < until:
        turns += 1
    readings = [time.perf_counter_ns() for _ in range(50)]
    now = [datetime.datetime.now() for _ in range(3)]
    return [
        result,
        spent > 0,
        1000 / spent > 0,
        time.time() - before >= 2.0,
        time.process_time() - used < 1.0,
        ran,
        turns > 0,
        readings == sorted(set(readings)) or len(readings),
        now == sorted(now),
        timeit.timeit("1 + 1", number=3) >= 0,
        logging.makeLogRecord({}).created > before,
        time.time_ns() > before,
        time.localtime().tm_zone,
    ]
"""
TOOLS["test_doubles"] = """
import unittest
from unittest import mock


class Case(unittest.TestCase):
    def test_it(self):
        self.assertEqual(1, 1)


def test_doubles():
    double = mock.Mock(return_value=3)
    with mock.patch("time.time", return_value=5.0):
        import time

        now = time.time()
    return [double(1), double.call_args.args, now]
"""
TOOLS["archives"] = """
import zipfile, tarfile, io, plistlib, lzma


def archives():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a.txt", "hello")
    with zipfile.ZipFile(io.BytesIO(out.getvalue())) as z:
        names, text = z.namelist(), z.read("a.txt").decode()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as t:
        info = tarfile.TarInfo("b")
        info.size = 2
        t.addfile(info, io.BytesIO(b"hi"))
    tar.seek(0)
    with tarfile.open(fileobj=tar) as t:
        members = t.getnames()
    return [
        names,
        text,
        members,
        plistlib.loads(plistlib.dumps({"a": [1]})),
        lzma.decompress(lzma.compress(b"x")).decode(),
        io.TextIOWrapper(io.BytesIO(b"l1\\nl2")).readlines(),
    ]
"""

TOOLS["own_stream_of_chance"] = """
import random
import uuid

random.seed(1)


def own_stream_of_chance():
    kinds = [uuid.uuid1().version, uuid.uuid4().version, uuid.uuid1() != uuid.uuid1(), uuid.uuid1().variant]
    return [kinds, random.random()]
"""
