"""What is small to carry and huge to unpack, and archives whose members want to lie outside: the attacks bring their own readers.

Sessions have neither ``zipfile`` nor ``tarfile``; a tool that carries one gets no further than one that reads the format itself.
"""

from tests.attacks.attack import attack
from tests.attacks.catalogue.memory import FULL, HELD
from tests.attacks.catalogue.output import LONG
from tests.attacks.proofs import at_least, harmed, returned
from tests.attacks.walls import CHANGE, CPU, FILE_SIZE, MEMORY, OPEN, OUTPUT
from tests.attacks.weapons import tar_of, untarred, unzipped, zip_of

OUTSIDE = {"proof": harmed("files"), "outcomes": "tool_error"}
WRITE = (OPEN, CHANGE, FILE_SIZE)
SLOW = {"seconds": 20.0}
"""In a control of an unpacker that works hard for what it gives."""


@attack("memory", MEMORY, **HELD)
def zip_bomb(**a):
    """Keep what an archive of a few kilobytes lists: one content, twenty times."""
    archive = zip_of({"zeros": bytes(16 << 20)}, repeat=20)
    assert len(archive) < 100_000
    return sum(map(len, [content for _, content in unzipped(archive)]))


@attack("memory", MEMORY, **HELD)
def zip_bomb_in_a_zip(**a):
    """Unpack archives out of archives."""
    inner = zip_of({"zeros": bytes(16 << 20)})
    archive = zip_of({f"{number}.zip": inner for number in range(20)})
    return sum(map(len, [content for _, one in unzipped(archive) for _, content in unzipped(one)]))


@attack("memory", MEMORY, **HELD)
def tar_bomb(**a):
    """Unpack a compressed tar stream, whose members are zeros."""
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    one = packer.compress(tar_of({"zeros": bytes(16 << 20)})) + packer.flush()
    held = []
    for _ in range(20):
        stream, left = zlib.decompressobj(31), [one]

        def read(count, stream=stream, left=left):
            data = stream.decompress(left[0], count)
            left[0] = stream.unconsumed_tail
            while len(data) < count and left[0]:
                data += stream.decompress(left[0], count - len(data))
                left[0] = stream.unconsumed_tail
            return data

        held += [content for _, content, _ in untarred(read)]
    return sum(map(len, held))


@attack("memory", MEMORY, proof=at_least(FULL), outcomes="limit_memory")
def tar_header_that_lies(**a):
    """Make room for a member as large as its header says."""
    archive = bytearray(tar_of({"little": b"x"}))
    archive[124:135] = b"%011o" % (320 << 20)

    def read(count):
        return bytes(archive[:count]).ljust(count, b"\0")

    return next(len(content) for _, content, _ in untarred(read))


@attack("memory", MEMORY, limits=SLOW, **HELD)
def bzip2_bomb(**a):
    """Unpack less than a kilobyte of bzip2, again and again."""
    import bz2

    packed = bz2.compress(bytes(900_000)) * 18
    return sum(map(len, [bz2.decompress(packed) for _ in range(20)]))


@attack("memory", MEMORY, limits=SLOW, **HELD)
def xz_bomb(**a):
    """Unpack a kilobyte of xz, again and again."""
    import lzma

    packed = lzma.compress(bytes(8 << 20), preset=0)
    return sum(map(len, [lzma.decompress(packed) for _ in range(40)]))


@attack("memory", MEMORY, **HELD)
def xz_that_wants_a_large_dictionary(**a):
    """Ask the unpacker for windows of hundreds of megabytes, for a few bytes of content."""
    import lzma

    data = lzma.compress(b"x", lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    wide = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 80 << 20}]
    held = [lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=wide) for _ in range(4)]
    return sum(len(one.decompress(data)) * (80 << 20) for one in held)


@attack("time", CPU, proof=returned("done"), outcomes="limit_time tool_error")
def unpack_and_drop(**a):
    """Unpack without end and keep nothing of it."""
    import zlib

    packer = zlib.compressobj(9)
    packed = packer.compress(bytes(16 << 20)) + packer.flush()
    for _ in range(max(4, a["rounds"] // 600_000)):
        zlib.decompress(packed)
    return "done"


@attack("time", CPU, proof=returned("done"), outcomes="limit_time tool_error")
def one_long_unpacking(**a):
    """Spend the time in one call of the bzip2 library, on data that packs badly."""
    import bz2

    part = bz2.compress(bytes(range(256)) * 3500)
    bz2.decompress(part * max(4, a["rounds"] // 1_000_000))
    return "done"


@attack("output", OUTPUT, **LONG)
def unpacked_text(**a):
    """Return what a few kilobytes unpack to."""
    import zlib

    packer = zlib.compressobj(9)
    packed = packer.compress(b"x" * (8 << 20)) + packer.flush()
    return zlib.decompress(packed).decode()


@attack("files", *WRITE, alone=(OPEN, CHANGE), **OUTSIDE)
def unpack_outside_its_folder(**a):
    """Unpack a ZIP archive whose member's name climbs out of the folder."""
    for name, content in unzipped(zip_of({"../file": b"harm"})):
        with open(a["folder"] + "/empty/" + name, "wb") as file:
            file.write(content)


@attack("files", CHANGE, **OUTSIDE)
def unpack_a_link_and_through_it(**a):
    """Unpack a tar archive of a link that leads outside, and a member behind that link."""
    import io
    import os

    above, folder = a["folder"].rsplit("/", 1)
    archive = tar_of({"out": above, f"out/{folder}/moved": b"harm"})
    for name, _, link in untarred(io.BytesIO(archive).read):
        if link:
            os.symlink(link, a["folder"] + "/" + name)
        else:
            os.rename(a["file"], a["folder"] + "/" + name)
