"""Where a key's artifact lives, and how those who take an artifact up and a collection that removes it agree without a lock.

    artifacts/<place>/used.json      put again by whoever takes the artifact up by its key, before looking for ``retired.json``
    artifacts/<place>/retired.json   put once by a collection, before it looks for ``used.json``; it stays for good

Each writes before it reads. So either the collection sees that somebody has taken the artifact up, and leaves it; or that one sees
that the place is retired, and goes to the key's next place, where nothing is or another made it again. A place that was retired is
never written again: however late a removal happens, it meets nothing that was made afterwards. No clock takes part in this, no
rename and no order of listings, only that a read that begins after a put has returned sees it.
"""

import hashlib
import secrets

from astra_jobs.api.base import canonical
from astra_jobs.runtime.backend import Backend

USED, RETIRED = "used.json", "retired.json"


def first_place(key: str) -> str:
    """Return the place that a key begins with."""
    return key.removeprefix("sha256:")


def next_place(place: str) -> str:
    """Return the place that follows a retired one."""
    return hashlib.sha256(f"after {place}".encode()).hexdigest()


def current_place(backend: Backend, key: str) -> str:
    """Return the first place of a key that is not retired."""
    place = first_place(key)
    while is_retired(backend, place):
        place = next_place(place)
    return place


def take_up(backend: Backend, key: str) -> str:
    """Return a place of a key after making sure that no collection that has not seen this removes what is there."""
    while True:
        place = current_place(backend, key)
        backend.replace(f"artifacts/{place}/{USED}", canonical({"by": secrets.token_hex(8)}))
        if not is_retired(backend, place):
            return place


def is_retired(backend: Backend, place: str) -> bool:
    """Tell if a place is used no more."""
    return backend.read(f"artifacts/{place}/{RETIRED}") is not None


def retire(backend: Backend, place: str) -> None:
    """Let nobody take up or commit anything at a place from now on; what is there stays until it is removed."""
    backend.create(f"artifacts/{place}/{RETIRED}", canonical({}))
