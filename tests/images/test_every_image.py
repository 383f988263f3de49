"""What holds for every image of ours: the base's promises survive in whatever is built on it."""

import json
import time

from .conftest import CONFINED, ROOT, docker, images, python

SLEEP = ("python", "-c", "import time; time.sleep(300)")
# What an image must not hold: ways to run something else, to install, to become root; what only makes it larger.
UNWANTED = """
import os, pathlib, re
programs = {"sh", "bash", "dash", "busybox", "perl", "apt", "apt-get", "dpkg", "pip", "pip3", "uv", "gcc", "cc", "ld",
            "ldconfig", "strip", "su", "sudo", "passwd", "mount", "curl", "wget", "git"}
unwanted = re.compile(r"/(tests?|idlelib|tkinter|ensurepip)/|\\.(a|c|h|pyx|pxd|pyi)$")
for folder, _, files in os.walk("/"):
    if folder.startswith(("/proc", "/sys", "/dev")):
        continue
    for name in files:
        path = os.path.join(folder, name)
        mode = os.lstat(path).st_mode
        if (name in programs and mode & 0o111) or mode & 0o6000 or unwanted.search(path):
            print(path)
"""
MODIFIABLE = """
import os, pathlib
roots = ["/opt/stage", "/opt/service", "/opt/venv", "/usr", "/etc", "/bin"]
paths = (path for root in roots for path in pathlib.Path(root).rglob("*") if not path.is_symlink())
print([str(path) for path in paths if os.access(path, os.W_OK)][:5])
"""


def test_image_runs_as_a_numeric_user_that_is_not_root(image: str) -> None:
    user = json.loads(docker("image", "inspect", image).stdout)[0]["Config"]["User"]
    assert user == "10001:10001"
    assert python(image, "import os; print(os.getuid(), os.getgid())").stdout == "10001 10001\n"


def test_stage_says_by_default_how_it_is_used(stage: str) -> None:
    assert docker("run", *CONFINED, images()[stage]).stdout.startswith(f"usage: airflow-ml-{stage}")


def test_image_holds_python_3_13_and_stagekit(image: str) -> None:
    assert python(image, "import sys, stagekit; print(sys.version_info[:2])").stdout == "(3, 13)\n"


def test_image_has_tini_as_its_init(image: str) -> None:
    entrypoint = json.loads(docker("image", "inspect", image).stdout)[0]["Config"]["Entrypoint"]
    assert entrypoint[:2] == ["/usr/bin/tini", "--"]


def test_image_knows_its_own_name(image: str) -> None:
    assert python(image, "import os; print(os.environ['ML_IMAGE'])").stdout.strip() == image


def test_image_has_no_installer(image: str) -> None:
    code = "import importlib.util as u, shutil; print(u.find_spec('pip'), shutil.which('pip'), shutil.which('uv'))"
    assert python(image, code).stdout == "None None None\n"


def test_image_has_no_shell_no_compiler_no_setuid_file_no_tests(image: str) -> None:
    assert python(image, UNWANTED).stdout == ""


def test_image_checks_certificates_and_knows_time_zones(image: str) -> None:
    code = """
import ssl, zoneinfo, datetime
assert len(ssl.create_default_context().get_ca_certs()) > 100
print(datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")).utcoffset())
"""
    assert python(image, code).stdout == "2:00:00\n"


def test_image_tells_scanners_its_debian_packages(image: str) -> None:
    code = "import os; print(*os.listdir('/var/lib/dpkg/status.d'))"
    assert {"libc6", "libssl3t64", "python3.13-minimal", "ca-certificates", "tini"} <= {
        *python(image, code).stdout.split()
    }


def test_user_of_the_image_can_change_none_of_its_code(image: str) -> None:
    assert python(image, MODIFIABLE).stdout == "[]\n"


def test_image_stops_within_two_seconds(image: str) -> None:
    """`docker stop` waits 10 s and then kills: what ends sooner has heard the signal."""
    container = docker("run", "--detach", "--entrypoint=/usr/bin/tini", image, "--", *SLEEP).stdout.strip()
    try:
        started = time.monotonic()
        docker("stop", container)
        assert time.monotonic() - started < 5
        code = json.loads(docker("inspect", container).stdout)[0]["State"]["ExitCode"]
        assert code == 143
    finally:
        docker("rm", "--force", container)


def test_stage_image_has_only_its_own_code(stage: str) -> None:
    found = python(
        images()[stage], "import pathlib; print(*sorted(path.name for path in pathlib.Path('/opt/stage').glob('*.*')))"
    ).stdout.split()
    assert found == sorted(path.name for path in (ROOT / "stages" / stage).glob("*.py"))
