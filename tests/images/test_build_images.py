"""`build_images.sh` on the real engine, in small checkouts of its own: what it builds, refuses, reports and removes."""

import fcntl
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from tests.harness import PATIENCE_S, docker, free_port, wait_until
from tests.image_tree import BIG, LEAF, ROOT, build_images, make_checkout

NAMES = ["base", "three", "one", "two"]


class Checkout:
    """A checkout, and images under names that begin with a prefix of its own."""

    def __init__(self, root: Path) -> None:
        self.root = make_checkout(root)
        self.prefix = f"ml-test-{secrets.token_hex(4)}-"

    def run(self, *arguments: str, code: int = 0, **environment: str) -> "subprocess.CompletedProcess[str]":
        done = build_images(self.root, self.prefix, *arguments, **environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def lock(self) -> dict[str, Any]:
        images: dict[str, Any] = json.loads((self.root / "dags/images.lock.json").read_text())["images"]
        return images

    def ids(self) -> dict[str, str]:
        return {name: entry["id"] for name, entry in self.lock().items()}

    def on_engine(self) -> list[str]:
        form = "{{.Repository}}:{{.Tag}}"
        return docker("image", "ls", "--format", form, "--filter", f"reference={self.prefix}*").stdout.split()

    def remove(self) -> None:
        if names := self.on_engine():
            docker("image", "rm", "--force", *names)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    one = Checkout(tmp_path / "checkout")
    yield one
    one.remove()


@pytest.fixture(scope="module")
def first_build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose images are built, for copies of it."""
    one = Checkout(tmp_path_factory.mktemp("first") / "checkout")
    one.run()
    yield one
    one.remove()


@pytest.fixture
def built(first_build: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """A copy of a checkout whose images are built, under the same names: what a test removed is built again."""
    one = copy(first_build)
    one.root = Path(shutil.copytree(first_build.root, tmp_path / "checkout"))
    one.run()
    first = set(one.on_engine())
    yield one
    if others := sorted(set(one.on_engine()) - first):
        docker("image", "rm", "--force", *others)


@contextmanager
def container_of(image: str) -> Iterator[str]:
    """A container that is never started: these images hold no program."""
    container = docker("create", image).stdout.strip()
    try:
        yield container
    finally:
        docker("rm", "--force", container)


def files_in(image: str) -> dict[str, tuple[bytes, int]]:
    """The files below /all of an image: bytes and mode."""
    with container_of(image) as container:
        done = subprocess.run(["docker", "cp", f"{container}:/all/.", "-"], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        files = {member.name.removeprefix("./"): member for member in archive.getmembers() if member.isfile()}
        return {name: (archive.extractfile(file).read(), file.mode) for name, file in files.items()}  # type: ignore[union-attr]


def details(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("image", "inspect", image).stdout)[0]
    return found


# --- what is built ---


def test_lock_names_what_the_engine_has(built: Checkout) -> None:
    lock = built.lock()
    assert sorted(lock) == sorted(NAMES)
    for name, entry in lock.items():
        found = details(entry["image"])
        assert (entry["id"], entry["size"]) == (found["Id"], found["Size"])
        assert entry["image"] == f"{built.prefix}{name}:{entry['tag']}"
        assert f"ML_IMAGE={entry['image']}" in found["Config"]["Env"] or name == "base"
        assert 0 <= entry["seconds"] < 600
        age_s = time.time() - time.mktime(time.strptime(entry["built"], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone
        assert abs(age_s) < 1800  # in UTC
    assert f"ML_THREE_IMAGE={lock['three']['image']}\n" in (built.root / ".env").read_text()


def test_nothing_changed_builds_nothing(built: Checkout) -> None:
    """How long that takes, and the build of one image, is among the benchmarks."""
    lock = built.root / "dags/images.lock.json"
    before = (lock.stat().st_ino, lock.read_bytes())
    assert built.run().stderr == ""
    assert (lock.stat().st_ino, lock.read_bytes()) == before


def test_changed_line_builds_that_image_alone(built: Checkout) -> None:
    before = built.ids()
    (built.root / "stages/one/one.py").write_text("changed\n")
    assert built.run().stderr.startswith("building one\n")
    after = built.ids()
    assert {name for name in NAMES if before[name] != after[name]} == {"one"}
    assert files_in(built.lock()["one"]["image"])["one.py"][0] == b"changed\n"


def test_changed_base_builds_everything_on_the_new_base(built: Checkout) -> None:
    before = built.lock()
    (built.root / "base-image/big").write_bytes(b"1" * BIG)
    assert built.run().stderr.startswith("building builder, base, three, one, two\n")
    after = built.lock()
    assert all(before[name]["tag"] != after[name]["tag"] for name in NAMES)
    base = details(after["base"]["image"])["RootFS"]["Layers"]
    assert base != details(before["base"]["image"])["RootFS"]["Layers"]
    assert all(details(after[name]["image"])["RootFS"]["Layers"][: len(base)] == base for name in NAMES)


def test_change_of_the_same_size_and_time_reaches_the_image(built: Checkout) -> None:
    """BuildKit takes a file of the same name, size and time for the one that it knows: an image would get old bytes."""
    file = built.root / "stages/one/one.py"
    for letter in "abc":
        file.write_text(f"{letter}\n")
        os.utime(file, (0, 0))
        built.run("--stage", "one")
        assert files_in(built.lock()["one"]["image"])["one.py"][0] == f"{letter}\n".encode()


def test_image_holds_the_files_of_its_tag_and_nothing_else(checkout: Checkout) -> None:
    """The Dockerfile copies all that the build can see."""
    folder = checkout.root / "stages/one"
    noise = ["README.md", "requirements.in", ".env", ".git/config", "__pycache__/one.pyc", "old.pyc", ".pytest_cache/x"]
    for name in noise:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("noise")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o700)
    (folder / "one.py").chmod(0o600)
    checkout.run()
    entry = checkout.lock()["one"]
    assert files_in(entry["image"]) == {
        "Dockerfile": (LEAF.encode(), 0o644),
        "one.py": (b"print('one', 1)\n", 0o644),
        "requirements.txt": (b"a==1\n", 0o644),
        "run": (b"#!/bin/sh\n", 0o755),
    }
    assert set(entry["ingredients"]["files"]) == {"Dockerfile", "one.py", "requirements.txt", "run"}
    for name in noise:
        (folder / name).write_text("another noise")
    assert checkout.run().stderr == ""


def test_same_files_in_another_folder_give_the_same_image(built: Checkout, tmp_path: Path) -> None:
    """Another checkout under the same names: nothing is built; built anyway, the engine gives it the same id."""
    other = Checkout(tmp_path / "other folder")
    other.prefix = built.prefix
    shutil.copytree(built.root / "base-image", other.root / "base-image", dirs_exist_ok=True)
    assert other.run().stderr.splitlines()[1:] == []  # the first line is about its new .env
    assert other.ids() == built.ids()
    before = built.ids()
    built.remove()
    other.run()
    assert other.ids() == before


def test_second_name_for_people_always_is_the_lock_s_image(built: Checkout) -> None:
    file = built.root / "stages/one/one.py"
    old = file.read_text()
    file.write_text("new\n")
    built.run()
    file.write_text(old)
    assert built.run().stderr == ""  # that image is still there: nothing to build
    assert details(f"{built.prefix}one:latest")["Id"] == built.ids()["one"]


def test_one_stage_is_built_and_the_others_stay_in_the_lock(built: Checkout) -> None:
    before = built.lock()
    for name in ("one", "two"):
        (built.root / f"stages/{name}/{name}.py").write_text("new\n")
    said = built.run("--stage", "one").stderr
    assert said.startswith("building one\n")
    assert said.endswith("still to build as in the folders: two; do: ./build_images.sh\n")
    after = built.lock()
    assert after["one"]["tag"] != before["one"]["tag"]
    assert {name: after[name] for name in ("base", "two", "three")} == {n: before[n] for n in ("base", "two", "three")}


def test_debug_image_is_built_when_asked_for_and_is_not_in_the_lock(built: Checkout) -> None:
    dockerfile = built.root / "base-image/Dockerfile"
    dockerfile.write_text(f"{dockerfile.read_text()}FROM base AS debug\nCOPY tool /debugger\n")
    built.run()
    assert f"{built.prefix}debug:latest" not in built.on_engine()
    built.run("--stage", "debug")
    tag = built.lock()["base"]["tag"]
    assert {f"{built.prefix}debug:latest", f"{built.prefix}debug:{tag}"} <= set(built.on_engine())
    assert sorted(built.lock()) == sorted(NAMES)


def test_builder_that_somebody_chose_for_other_work_is_not_used(built: Checkout) -> None:
    """Another builder would not see our base, and would look for its name in a public registry."""
    (built.root / "stages/one/one.py").write_text("new\n")
    assert built.run(BUILDX_BUILDER="nowhere").stderr.startswith("building one\n")


def test_image_that_was_removed_is_built_again(built: Checkout) -> None:
    image = built.lock()["two"]["image"]
    docker("image", "rm", image, f"{built.prefix}two:latest")
    output = built.run("--explain").stdout
    assert f"build {image}\n        nothing changed, but the engine does not have the image any more\n" in output
    assert built.run().stderr.startswith("building two\n")
    assert built.lock()["two"]["image"] == image


def test_explain_builds_nothing_and_names_the_file(built: Checkout) -> None:
    before = sorted(built.on_engine())
    (built.root / "stages/one/untracked.py").write_text("x\n")
    (built.root / "services/three/three.py").chmod(0o755)
    output = built.run("--explain").stdout
    assert "        added   untracked.py\n" in output
    assert "        mode    three.py: not executable -> executable\n" in output
    assert [line[:5] for line in output.splitlines() if line[0] != " "] == ["keep ", "build", "build", "keep "]
    assert sorted(built.on_engine()) == before


def test_symbolic_link_is_refused_before_anything_is_built(checkout: Checkout) -> None:
    (checkout.root / "stages/one/link.py").symlink_to("one.py")
    done = checkout.run(code=1)
    assert done.stderr.splitlines()[-3].startswith("error: ")
    assert "stages/one/link.py is a symbolic link\n       expected: files and folders only" in done.stderr
    assert checkout.on_engine() == []


def test_second_run_in_one_folder_waits_for_the_first(built: Checkout) -> None:
    with (built.root / ".cache/build.flock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        environment = {**os.environ, "ML_IMAGE_PREFIX": built.prefix}
        command = [str(built.root / "build_images.sh")]
        with subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as run:
            assert run.stderr is not None
            assert run.stderr.readline() == "waiting for another build in this folder\n"
            assert run.poll() is None
            fcntl.flock(file, fcntl.LOCK_UN)
            assert run.wait(PATIENCE_S) == 0


def test_interrupted_build_leaves_the_lock_as_it_was(built: Checkout) -> None:
    """On the real base, whose Python can wait."""
    before = built.lock()
    base = json.loads((ROOT / "dags/images.lock.json").read_text())["images"]["base"]["image"]
    # The engine may go on with a step that nobody waits for any more, and cache it: no other run has this one.
    code = f"import time; time.sleep(300), '{built.prefix}'"
    (built.root / "stages/one/Dockerfile").write_text(f'FROM {base}\nRUN ["python", "-c", "{code}"]\n')
    environment = {**os.environ, "ML_IMAGE_PREFIX": built.prefix}
    command = [str(built.root / "build_images.sh")]
    with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stderr is not None
        assert run.stderr.readline() == "building one\n"
        log = built.root / ".cache/build.log"
        wait_until(lambda: log.exists() and 'RUN ["python"' in log.read_text(), "the build runs")
        run.send_signal(signal.SIGINT)
        # On a slow machine lines about steps that took time come before.
        said = run.stderr.read()
        assert said.endswith("the images that were built are kept, the image lock has not changed\nstopped\n"), said
        assert run.wait(timeout=PATIENCE_S) == 130
    assert built.lock() == before


# --- what is reported ---


def test_build_tells_each_image_that_is_written(checkout: Checkout) -> None:
    lines = [line.split() for line in checkout.run().stderr.splitlines()]
    written = [line[0] for line in lines if line[-3:] == ["image", "is", "written"]]
    assert sorted(written) == sorted(["builder", *NAMES])


def test_failed_build_names_the_image_and_the_end_of_its_log(built: Checkout) -> None:
    before = (built.root / "dags/images.lock.json").read_bytes()
    dockerfile = built.root / "stages/two/Dockerfile"
    dockerfile.write_text(f"{LEAF}COPY nowhere.py /\n")
    done = built.run(code=1)
    assert "error: the image two was not built: " in done.stderr
    assert '"/nowhere.py": not found' in done.stderr
    assert "step: COPY nowhere.py /" in done.stderr
    log = Path(done.stderr.splitlines()[-1].partition("the whole log: ")[2])
    assert "nowhere.py" in log.read_text()
    dockerfile.write_text("FORM scratch\n")
    done = built.run(code=1)
    assert "error: the image two was not built" in done.stderr
    assert "unknown instruction: FORM" in done.stderr
    assert (built.root / "dags/images.lock.json").read_bytes() == before


def test_program_that_fails_in_a_build_is_heard(checkout: Checkout) -> None:
    """On the real base, whose Python says something before it fails."""
    base = json.loads((ROOT / "dags/images.lock.json").read_text())["images"]["base"]["image"]
    code = "import sys; [print('line', n) for n in range(30)]; sys.exit(3)"
    (checkout.root / "stages/one/Dockerfile").write_text(f'FROM {base}\nRUN ["python", "-c", "{code}"]\n')
    said = checkout.run(code=1).stderr
    assert "error: the image one was not built" in said
    assert "exit code: 3" in said
    assert [line.strip() for line in said.splitlines()][-3:-1] == ["line 28", "line 29"]


def test_engine_that_does_not_answer_is_named_with_what_to_do(checkout: Checkout) -> None:
    said = checkout.run(code=1, DOCKER_HOST="unix:///nowhere.sock").stderr
    assert "Cannot connect to the Docker daemon at unix:///nowhere.sock" in said
    assert "do: ./airflow-ml engine" in said


def test_build_ends_with_the_size_of_each_image(checkout: Checkout) -> None:
    """The base is 1 MB and in every image; one stage adds 3 MB, the others next to nothing."""
    (checkout.root / "stages/one/more.bin").write_bytes(bytes(3 * BIG))
    lines = [line.split() for line in checkout.run().stdout.splitlines()]
    sizes = {name.removeprefix(checkout.prefix): size for name, _, size, _ in lines}
    assert sizes == {"base": "1", "three": "1", "one": "4", "two": "1"}


def test_sizes_of_the_layers_of_every_image_add_up(image: str) -> None:
    from airflow_ml.common import inspect_images
    from maintain.image_contents import sizes_of

    found = inspect_images([image])[image]
    layers = sizes_of([found])[0]
    assert sum(layers.values()) == found["Size"]
    assert len(layers) == len(found["RootFS"]["Layers"])


# --- platforms ---


def test_other_platform_is_built_under_another_tag(built: Checkout) -> None:
    """Nothing runs in these builds, so another machine's image can be built here."""
    before = built.lock()
    built.run("--platform", "linux/s390x")
    after = built.lock()
    for name in NAMES:
        assert after[name]["tag"] != before[name]["tag"]
        assert details(after[name]["image"])["Architecture"] == "s390x"


def test_several_platforms_need_a_registry(built: Checkout) -> None:
    done = built.run("--platform", "linux/amd64,linux/arm64", code=2)
    assert "the engine's store holds one platform an image, not linux/amd64, linux/arm64" in done.stderr
    assert "do: add --push ADDRESS, or name one platform" in done.stderr


# --- pruning ---


def test_prune_removes_old_tags_that_nobody_uses(built: Checkout) -> None:
    old = [built.lock()["one"]["image"]]
    for content in (b"1" * BIG, b"2" * BIG, b"3" * BIG):
        (built.root / "stages/one/more.bin").write_bytes(content)
        built.run()
        old.append(built.lock()["one"]["image"])
    *old, current = old
    stranger = f"{built.prefix}one:release"
    docker("tag", old[0], stranger)
    docker("tag", old[0], f"x{built.prefix}one:{'0' * 12}")
    try:
        with container_of(old[1]) as container:
            said = built.run("--prune").stdout
            assert old[1] in built.on_engine()
            assert docker("inspect", container).returncode == 0
    finally:
        docker("image", "rm", f"x{built.prefix}one:{'0' * 12}")
    assert [line for line in said.splitlines() if line.startswith("removed")] == [
        f"removed {name}" for name in sorted([old[0], old[2]], key=said.index)
    ]
    there = built.on_engine()
    assert {current, stranger, old[1]} <= set(there)
    assert not {old[0], old[2]} & set(there)
    assert built.run().stderr == ""
    # Without the container nothing keeps the last one; then there is nothing left to do.
    assert f"removed {old[1]}\n" in built.run("--prune").stdout
    assert built.run("--prune").stdout.startswith("0 old tags removed;")


@contextmanager
def stack_of(checkout: Checkout) -> Iterator[None]:
    """A container as `docker compose` makes it for the stack of a checkout; it is never started."""
    labels = {
        "com.docker.compose.service": "engine-proxy",
        "com.docker.compose.project.working_dir": str(checkout.root),
    }
    base = json.loads((ROOT / "dags/images.lock.json").read_text())["images"]["base"]["image"]
    options = [f"--label={name}={value}" for name, value in labels.items()]
    container = docker("create", *options, base).stdout.strip()
    try:
        yield
    finally:
        docker("rm", "--force", container)


@pytest.mark.parametrize("command", [["build", "--prune"], ["clean"]])
def test_images_of_another_stack_on_the_engine_are_kept(built: Checkout, tmp_path: Path, command: list[str]) -> None:
    neighbour = Checkout(tmp_path / "neighbour")
    neighbour.prefix = built.prefix
    neighbour.run()
    theirs = {entry["image"] for entry in neighbour.lock().values()}
    environment = {**os.environ, "ML_IMAGE_PREFIX": built.prefix}
    (built.root / ".env").unlink()  # there is no stack of this checkout to stop

    def run() -> None:
        done = subprocess.run(
            [built.root / "airflow-ml", *command], env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    with stack_of(neighbour):
        run()
        assert theirs <= set(built.on_engine())
    ours = {entry["image"] for entry in built.lock().values()} if command != ["clean"] else set()
    run()
    assert {name for name in built.on_engine() if not name.endswith(":latest")} >= ours
    assert not theirs & set(built.on_engine())


# --- a registry ---


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry on the loopback address; setup/ensure_image_registry.sh gets the program."""
    program = subprocess.run([ROOT / "setup/ensure_image_registry.sh"], text=True, stdout=subprocess.PIPE, check=True)
    folder = tmp_path_factory.mktemp("registry")
    port = free_port()
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    command = [program.stdout.strip(), "serve", str(folder / "config.yml")]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_until(lambda: is_open(port), "the registry listens")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def configuration_digest(registry: str, entry: dict[str, Any]) -> str:
    """What the registry itself has behind an entry's digest."""
    request = urllib.request.Request(
        f"http://{registry}/v2/{entry['name']}/manifests/{entry['digest']}",
        headers={
            "Accept": "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        },
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return str(json.loads(answer.read())["config"]["digest"])


def test_push_pins_digests_in_the_lock(built: Checkout, registry: str) -> None:
    before = built.lock()
    built.run("--push", registry)
    after = built.lock()
    for name in NAMES:
        assert after[name]["pushed"] == f"{registry}/{built.prefix}{name}@{after[name]['digest']}"
        # An image's id is its configuration's digest, on the containerd store its manifest's.
        assert after[name]["id"] in (configuration_digest(registry, after[name]), after[name]["digest"])
        assert {**after[name], "digest": None, "pushed": None} == before[name]
    assert built.run().stderr == ""
    assert built.lock() == after
    assert not [
        name for name in docker("image", "ls", "--format", "{{.Repository}}").stdout.split() if registry in name
    ]


def test_push_builds_what_is_missing_and_unpins_nothing_else(built: Checkout, registry: str) -> None:
    built.run("--push", registry)
    before = built.lock()
    (built.root / "stages/one/one.py").write_text("new\n")
    built.run()
    assert built.lock()["one"]["pushed"] is None
    assert built.lock()["two"] == before["two"]
    built.run("--stage", "one", "--push", f"{registry}/team")
    assert built.lock()["one"]["pushed"].startswith(f"{registry}/team/{built.prefix}one@sha256:")
    assert built.lock()["two"] == before["two"]


def test_second_host_runs_by_digest_what_the_first_pushed(built: Checkout, registry: str) -> None:
    """The images leave the engine; the lock alone brings the same bytes back, though the tags in the registry moved."""
    built.run("--push", registry)
    lock = built.lock()
    two, one = lock["two"]["image"], lock["one"]["image"]
    docker("tag", two, f"{registry}/{one}")
    docker("push", f"{registry}/{one}")
    docker("image", "rm", f"{registry}/{one}")
    built.remove()
    assert built.on_engine() == []
    built.run("--pull")
    assert built.lock() == lock
    assert {name: details(entry["image"])["Id"] for name, entry in lock.items()} == built.ids()
    assert files_in(one)["one.py"][0] == b"print('one', 1)\n"
    # With the builder's image gone there is still nothing to build.
    assert built.run().stderr == ""
    assert built.lock() == lock


def test_lock_with_a_stage_that_this_checkout_does_not_have_is_pulled_too(built: Checkout, registry: str) -> None:
    built.run("--push", registry)
    shutil.rmtree(built.root / "stages/two")
    built.run("--pull")
    assert sorted(built.lock()) == sorted(NAMES)


def test_registry_that_does_not_answer_ends_the_push_with_a_message(built: Checkout) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        said = built.run("--push", address, code=1).stderr
    assert f"error: {address}/{built.lock()['base']['image']} was not pushed" in said
    assert f"do: check that {address} answers" in said
    assert built.lock()["base"]["pushed"] is None


def test_several_platforms_are_pushed_or_refused_with_what_to_do(built: Checkout, registry: str) -> None:
    """The default store and its builder hold one platform under a name; the containerd store holds several."""
    arguments = ["--platform", "linux/amd64,linux/arm64", "--push", registry]
    if "io.containerd.snapshotter" not in docker("info", "--format", "{{json .DriverStatus}}").stdout:
        said = built.run(*arguments, code=1).stderr
        assert "hold one platform an image, not linux/amd64,linux/arm64\n       do: switch the engine to" in said
        return
    built.run(*arguments)
    entry = built.lock()["one"]
    request = urllib.request.Request(
        f"http://{registry}/v2/{entry['name']}/manifests/{entry['digest']}",
        headers={"Accept": "application/vnd.oci.image.index.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        manifests = json.loads(answer.read())["manifests"]
    assert {manifest["platform"]["architecture"] for manifest in manifests} == {"amd64", "arm64"}
    assert entry["ingredients"]["platform"] == "linux/amd64,linux/arm64"
    assert details(entry["image"])["Id"] == entry["id"]
