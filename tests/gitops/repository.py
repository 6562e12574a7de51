"""A team's Git repository, and an agent that brings what is in it to a cluster, as GitOps tools do: by server-side apply, with prune."""

import os
import subprocess
from pathlib import Path

from tests.cluster.plane import tools
from tests.patience import patience

SMALLEST = Path(__file__).parent / "repository"
AGENT = "gitops-agent"


class Repository:
    """A repository with the smallest pipeline of all five kinds, for one namespace of a cluster."""

    def __init__(self, folder: Path, kubeconfig: Path, namespace: str) -> None:
        self._origin, self._clone = folder / "origin", folder / "clone"
        self._command = [str(tools.program("kubectl")), f"--kubeconfig={kubeconfig}", f"--cache-dir={folder / 'cache'}", "-n", namespace]
        self._origin.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        for file in SMALLEST.iterdir():
            self.write(file.name, file.read_text())
        self.commit("Begin")
        self.git("clone", "--quiet", str(self._origin), str(self._clone))

    def git(self, *words: str, place: Path | None = None) -> str:
        """Run git as nobody in particular; the machine's own settings do not matter."""
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
        command = ["git", *identity, "-C", str(place or self._origin), *words]
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self._origin.parent)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=patience())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> None:
        """Write a file of the working tree."""
        (self._origin / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that stands in a file once."""
        text = (self._origin / name).read_text()
        assert text.count(old) == 1, (name, old)
        self.write(name, text.replace(old, new))

    def commit(self, subject: str) -> None:
        """Commit the working tree."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)

    def revert(self) -> None:
        """Take the last commit back by another."""
        self.git("revert", "--no-edit", "HEAD")

    def sync(self) -> str:
        """Bring the newest commit to the cluster; return what kubectl says of each object."""
        self.git("pull", "--quiet", "--ff-only", place=self._clone)
        how = ["--server-side", f"--field-manager={AGENT}", "--prune", "--applyset=configmaps/repository"]
        command = [*self._command, "apply", "-k", str(self._clone), *how]
        environment = os.environ | {"KUBECTL_APPLYSET": "true"}  # prune of what was applied on the server's side
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=patience())
        assert done.returncode == 0, done.stderr
        return done.stdout
