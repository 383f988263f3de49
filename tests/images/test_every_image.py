"""What holds for every image of ours: the base's promises survive in whatever is built on it."""

import json
import time
from functools import cache
from typing import Any

from tests.harness import CONFINED, ROOT, docker, images, python

SLEEP = ("python", "-c", "import time; print('here', flush=True); time.sleep(300)")
# What an image must not hold: ways to run something else, to install, to become root; what only makes it larger.
UNWANTED = """
import re
programs = {"sh", "bash", "dash", "busybox", "perl", "apt", "apt-get", "dpkg", "pip", "pip3", "uv", "gcc", "cc", "ld",
            "ldconfig", "strip", "su", "sudo", "passwd", "mount", "curl", "wget", "git"}
unwanted = re.compile(r"/(tests?|idlelib|tkinter|ensurepip)/|\\.(a|c|h|pyx|pxd|pyi)$")
unwanted_files = []
for folder, _, files in os.walk("/"):
    if folder.startswith(("/proc", "/sys", "/dev")):
        continue
    for name in files:
        path = os.path.join(folder, name)
        mode = os.lstat(path).st_mode
        if (name in programs and mode & 0o111) or mode & 0o6000 or unwanted.search(path):
            unwanted_files.append(path)
"""
MODIFIABLE = """
roots = ["/opt/stage", "/opt/service", "/opt/venv", "/usr", "/etc", "/bin"]
paths = (path for root in roots for path in pathlib.Path(root).rglob("*") if not path.is_symlink())
modifiable = [str(path) for path in paths if os.access(path, os.W_OK)][:5]
"""


# What the container reports of itself: one start for each image.
PROBE = f"""
import datetime, importlib.util, json, os, pathlib, shutil, ssl, sys, zoneinfo
facts = {{
    "user": [os.getuid(), os.getgid()],
    "python": list(sys.version_info[:2]),
    "stagekit": importlib.util.find_spec("stagekit") is not None,
    "name": os.environ["ML_IMAGE"],
    "installers": [name for name in ("pip", "uv") if shutil.which(name) or importlib.util.find_spec(name)],
    "authorities": len(ssl.create_default_context().get_ca_certs()),
    "paris": str(datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")).utcoffset()),
    "debian": sorted(os.listdir("/var/lib/dpkg/status.d")),
    "modules": sorted(path.name for path in pathlib.Path("/opt/stage").glob("*.*")),
}}
{UNWANTED}
{MODIFIABLE}
print(json.dumps({{**facts, "unwanted": unwanted_files, "modifiable": modifiable}}))
"""


@cache
def facts(image: str) -> dict[str, Any]:
    """What an image reports of itself."""
    return dict(json.loads(python(image, PROBE).stdout))


@cache
def configuration(image: str) -> dict[str, Any]:
    return dict(json.loads(docker("image", "inspect", image).stdout)[0]["Config"])


def test_image_runs_as_a_numeric_user_that_is_not_root(image: str) -> None:
    assert configuration(image)["User"] == "10001:10001"
    assert facts(image)["user"] == [10001, 10001]


def test_stage_prints_its_help_by_default(stage: str) -> None:
    assert docker("run", *CONFINED, images()[stage]).stdout.startswith(f"usage: airflow-ml-{stage}")


def test_image_holds_python_3_13_and_stagekit(image: str) -> None:
    assert (facts(image)["python"], facts(image)["stagekit"]) == ([3, 13], True)


def test_image_has_tini_as_its_init(image: str) -> None:
    assert configuration(image)["Entrypoint"][:2] == ["/usr/bin/tini", "--"]


def test_image_knows_its_own_name(image: str) -> None:
    assert facts(image)["name"] == image


def test_image_has_no_installer(image: str) -> None:
    assert facts(image)["installers"] == []


def test_image_has_no_shell_no_compiler_no_setuid_file_no_tests(image: str) -> None:
    assert facts(image)["unwanted"] == []


def test_image_checks_certificates_and_knows_time_zones(image: str) -> None:
    assert facts(image)["authorities"] > 100
    assert facts(image)["paris"] == "2:00:00"


def test_image_lists_its_debian_packages_for_scanners(image: str) -> None:
    assert {"libc6", "libssl3t64", "python3.13-minimal", "ca-certificates", "tini"} <= {*facts(image)["debian"]}


def test_user_of_the_image_can_change_none_of_its_code(image: str) -> None:
    assert facts(image)["modifiable"] == []


def test_stage_image_has_only_its_own_code(stage: str) -> None:
    own = sorted(path.name for path in (ROOT / "stages" / stage).glob("*.py"))
    assert facts(images()[stage])["modules"] == own


def test_image_ends_on_the_signal(image: str) -> None:
    """What does not hear it is killed by `docker stop` in the end, and its exit code is 137."""
    container = docker("run", "--detach", "--entrypoint=/usr/bin/tini", image, "--", *SLEEP).stdout.strip()
    try:
        for _ in range(1200):  # a signal before the program has begun is lost
            if docker("logs", container).stdout:
                break
            time.sleep(0.1)
        docker("stop", "--time=60", container)
        code = json.loads(docker("inspect", container).stdout)[0]["State"]["ExitCode"]
        assert code == 143
    finally:
        docker("rm", "--force", container)
