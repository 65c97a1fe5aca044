"""Runs programs in an image as Kubernetes' restricted profile would, without a container engine.

The root file system is read-only, the user is the image's, there are no capabilities and no new privileges,
no shell can be executed, and the program is process 1 of its PID namespace.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.command import Outcome
from support.container_image import Buildah

DATA = "/data"  # where containers see the directory that they share with the test
SHELLS = ("sh", "bash", "dash")
# Arguments: the root, the directory to share, the user, the command.
# The bounding set has only what `chroot` needs to drop root.
ENTER = f"""
root=$1 data=$2 user=$3
shift 3
mount --bind "$root" "$root"
for shell in {" ".join(SHELLS)}; do
  for path in "$root/bin/$shell" "$root/usr/bin/$shell"; do
    if [ -e "$path" ] && [ ! -L "$path" ]; then mount --bind /dev/null "$path"; fi
  done
done
mount -t proc -o ro proc "$root/proc"
mount --bind /dev "$root/dev"
mkdir -p "$root{DATA}"
mount --bind "$data" "$root{DATA}"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs --bounding-set -all,+sys_chroot,+setuid,+setgid --inh-caps -all \
  chroot --userspec="$user" --groups= "$root" "$@"
"""


@dataclass(frozen=True)
class Container:
    """An image that is mounted, and a directory that its programs may write to."""

    root: Path
    config: Mapping[str, object]
    data: Path

    @classmethod
    def of(cls, buildah: Buildah, image: str, root: Path, data: Path) -> "Container":
        """Give the directory to the user of the image."""
        config = json.loads(buildah.call("inspect", "--type", "image", image))["OCIv1"]["config"]
        container = cls(root, config, data)
        os.chown(data, container.uid, container.gid)
        return container

    @property
    def uid(self) -> int:
        """The user ID that the image asks for, which has to be a number for `runAsNonRoot` to verify it."""
        return int(str(self.config["User"]).split(":")[0])

    @property
    def gid(self) -> int:
        """The group ID."""
        return int(str(self.config["User"]).split(":")[1])

    def command(self, arguments: Sequence[str], entrypoint: Sequence[str] = ()) -> list[str]:
        """What starts a program of the image, by default the one that it is made for."""
        words = [*(entrypoint or self.config["Entrypoint"]), *arguments]  # type: ignore[misc] # JSON
        enter = ["sh", "-euc", ENTER, "enter", str(self.root), str(self.data), str(self.config["User"])]
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", *enter, *words]

    def environ(self) -> dict[str, str]:
        """The environment that the image sets, and nothing else."""
        return dict(variable.split("=", 1) for variable in self.config["Env"])  # type: ignore[attr-defined] # JSON

    def call(self, *arguments: str, entrypoint: Sequence[str] = ()) -> Outcome:
        """Run a program to its end."""
        command = self.command(arguments, entrypoint)
        done = subprocess.run(
            command,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def python(self, code: str) -> Outcome:
        """Run Python code in the image."""
        return self.call("-c", code, entrypoint=["python"])
