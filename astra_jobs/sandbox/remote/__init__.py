"""The sandbox of a cluster: a ``Sandbox`` that calls sandbox servers over HTTP.

It chooses the server, sends what is asked at one moment in one request, and mends what infrastructure breaks: by asking
again where that is safe, and by replaying a session's log on another server where it is not. It runs no tool code.
"""

from astra_jobs.sandbox.remote.sandbox import RemoteSandbox, remote_sandbox
from astra_jobs.sandbox.remote.settings import Isolation, Settings, settings_of

__all__ = ["Isolation", "RemoteSandbox", "Settings", "remote_sandbox", "settings_of"]
