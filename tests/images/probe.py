"""What an image reports of itself, in one start of a container for all tests that look at it.

These tests share the group "probe", so that they run in one process.
"""

import json
from functools import cache
from typing import Any

from tests.harness import python

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
# The packages by name: version, bytes, and the import packages, found among the package's own files.
PACKAGES = """
packages = {}
for one in importlib.metadata.distributions():
    tops = {path.parts[0] for path in one.files if path.suffix == ".py" or ".so" in path.suffixes}
    names = {re.sub(r"(\\.cpython.*|\\.abi3)?\\.(py|so)$", "", top) for top in tops}
    size = sum(path.locate().stat().st_size for path in one.files)
    imports = sorted(name for name in names if name.isidentifier())
    packages[one.metadata["Name"]] = {"version": one.version, "size": size, "imports": imports}
"""
PROBE = f"""
import datetime, importlib.metadata, importlib.util, json, os, pathlib, shutil, ssl, sys, zoneinfo
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
{PACKAGES}
print(json.dumps({{**facts, "unwanted": unwanted_files, "modifiable": modifiable, "packages": packages}}))
"""


@cache
def facts(image: str) -> dict[str, Any]:
    """What an image reports of itself."""
    return dict(json.loads(python(image, PROBE).stdout))
