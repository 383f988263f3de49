"""Stages whose libraries are loaded once: thousands of calls then cost a tenth of the processor's time."""

import json
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.harness import Data, Done, Finished, entrypoint

# In the stage's container: it loads all modules of the stage, and each call is a fork of this process.
SERVE = """
import contextlib, importlib, json, os, runpy, sys, tempfile
from pathlib import Path

script = Path(sys.argv[1])
sys.path.insert(0, str(script.parent))
for module in sorted(script.parent.glob("*.py")):
    with contextlib.suppress(ImportError):  # a module may be meant for another machine, with a library of its own
        importlib.import_module(module.stem)
for line in sys.stdin:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if not (process := os.fork()):
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = [str(script), *json.loads(line)]
            runpy.run_path(str(script), run_name="__main__")
            sys.exit()
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        texts = [os.pread(file.fileno(), 10**7, 0).decode() for file in (out, err)]
    print(json.dumps([code, *texts]), flush=True)
"""
# A library has threads when its process forks. They are idle at that moment.
QUIETLY = ("-W", "ignore::DeprecationWarning")


class WarmStages:
    """Containers of stages that stay, one for each image, its options and the thread that calls."""

    def __init__(self) -> None:
        self._containers: dict[tuple[object, ...], subprocess.Popen[str]] = {}

    def call(self, image: str, options: Sequence[str], arguments: Sequence[str]) -> Finished:
        """What `docker run` of the image does with these options and arguments."""
        key = (image, *options, threading.get_ident())
        if key not in self._containers:
            command = ["docker", "run", "--interactive", *options, "--entrypoint=python", image, *QUIETLY, "-c", SERVE]
            script = entrypoint(image)[-1]
            self._containers[key] = subprocess.Popen(
                [*command, script], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        container = self._containers[key]
        assert container.stdin is not None
        assert container.stdout is not None
        print(json.dumps(arguments), file=container.stdin, flush=True)
        code, out, err = json.loads(container.stdout.readline())
        return subprocess.CompletedProcess([image, *arguments], code, out, err)

    def close(self) -> None:
        """End the containers: they read no more calls."""
        for container in self._containers.values():
            container.communicate()


@dataclass(frozen=True)
class WarmData(Data):
    """Data whose stages are warm."""

    stages: WarmStages = field(kw_only=True)

    def stage(self, stage: str, *arguments: str, **how: Any) -> Done:
        """Run a stage, as without a warm one."""
        return super().stage(stage, *arguments, **{**how, "among": self.stages})
