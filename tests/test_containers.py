"""The image and the compose file: what they run, what each process is given, and what they are locked to.

Where a Docker with compose is here it reads the file as well; none of these tests builds the image.
"""

import contextlib
import re
import shlex
import shutil
import subprocess
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import redis
import typer
import yaml
from estate import KINDS, ROOT, UNITS, values
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_units import EXPOSURE, HELD

from reminder_worker import cli, doctor, settings, store
from reminder_worker.embedded import server_program, wait_for

COMPOSE = ROOT / "ops" / "compose.yml"
BESIDE = ROOT / "ops" / "compose"
LOCKS = ROOT / "ops" / "container"
FILE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = [name for name in SERVICES if name != "store"]
PAGE = (ROOT / "docs" / "deploying.md").read_text()
CONTAINERFILE = (ROOT / "Containerfile").read_text()
STEPS = re.findall(r"(?m)^([A-Z]+) (.*)$", CONTAINERFILE.replace("\\\n", ""))


def parse(words: list[str]) -> str:
    """Read a command as the command line would, and return its name; wrong use raises."""
    group = typer.main.get_command(cli.app)
    name, command, left = group.resolve_command(typer.Context(group), words)  # type: ignore[attr-defined]
    assert command is not None
    command.make_context(name, left, resilient_parsing=False)
    return str(name)


STAYS = {"com.docker.network.bridge.enable_ip_masquerade": "false"}  # what goes out finds no way back

# The compose file.


def test_the_processes_are_those_that_have_a_unit() -> None:
    assert set(OURS) == set(KINDS) == set(EXPOSURE)


@pytest.mark.parametrize("name", OURS)
def test_the_command_line_knows_what_a_container_runs(name: str) -> None:
    assert parse(SERVICES[name]["command"]) == name


@pytest.mark.parametrize("name", KINDS)
def test_a_container_is_handed_what_the_unit_is(name: str) -> None:
    given = SERVICES[name]["secrets"]
    targets = {one if isinstance(one, str) else one["target"] for one in given}
    sources = {one if isinstance(one, str) else one["source"] for one in given}
    assert {one.replace("store.password", f"{user(name)}.password") for one in targets} == HELD[name]
    assert sources == {one.replace("twilio", f"{name}.twilio") for one in HELD[name]}


def user(kind: str) -> str:
    """Return which user of the store a process is."""
    return "operator" if kind == "ops" else kind


def test_each_secret_is_one_container_s() -> None:
    used = [one if isinstance(one, str) else one["source"] for each in SERVICES.values() for one in each["secrets"]]
    assert sorted(used) == sorted(FILE["secrets"])
    assert {name: entry["file"] for name, entry in FILE["secrets"].items()} == {
        name: f"./compose/secrets/{name}" for name in FILE["secrets"]
    }


def test_no_variable_holds_a_secret() -> None:
    variables = {name: each["environment"] for name, each in SERVICES.items() if "environment" in each}
    assert variables == {"ops": {"REMINDER_CONFIG": "/etc/reminder-worker/ops.toml"}}


def test_only_who_has_keys_of_its_own_has_a_folder_and_only_the_worker_writes_in_it() -> None:
    folders = {name: each.get("volumes", []) for name, each in SERVICES.items()}
    assert folders == {
        "store": ["store:/data"],
        "web": ["./compose/web/keys:/var/lib/reminder-worker/web/keys:ro"],
        "hooks": ["./compose/public:/etc/reminder-worker/public:ro"],
        "scheduler": [],
        "worker": ["./compose/worker/keys:/var/lib/reminder-worker/worker/keys"],
        "ops": ["./compose/ops:/var/lib/reminder-worker/ops:ro"],
    }


def test_each_has_a_user_of_its_own_without_rights() -> None:
    users = [each["user"] for each in SERVICES.values()]
    assert len(users) == len(set(users))
    assert all(re.fullmatch(r"([1-9]\d+):\1", user) for user in users)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_every_restriction(name: str) -> None:
    each = SERVICES[name]
    assert each["cap_drop"] == ["ALL"]
    assert each["security_opt"] == ["no-new-privileges:true"]
    assert each["read_only"] is True
    assert each["ulimits"] == {"core": 0}
    assert each["mem_limit"] == each["memswap_limit"]  # no swap
    assert each["pids_limit"] <= 200
    assert each["init"] is True
    assert not each.keys() & {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "env_file", "extends"}


def test_nothing_listens_to_the_world() -> None:
    ports = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    assert ports == {
        "web": ["127.0.0.1:8080:8080"],
        "hooks": ["127.0.0.1:8081:8081"],
        "ops": ["127.0.0.1:8082:8082"],
    }


def test_who_needs_nobody_outside_reaches_nobody_outside() -> None:
    assert {name: each["networks"] for name, each in SERVICES.items()} == {
        "store": ["store"],
        "web": ["store", "platforms"],
        "hooks": ["store", "receipts"],
        "scheduler": ["store"],
        "worker": ["store", "providers"],
        "ops": ["store", "operators"],
    }
    assert FILE["networks"]["store"] == {"internal": True}
    inwards = {name for name, one in FILE["networks"].items() if one.get("driver_opts") == STAYS}
    assert inwards == {"receipts", "operators"}


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_as_much_time_to_finish_as_in_the_unit(kind: str) -> None:
    assert SERVICES[kind]["stop_grace_period"] == f"{values(kind, 'TimeoutStopSec')[0]}s"


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_looked_at(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"  # no shell
    if check["test"][1] == "python":
        compile(check["test"][3], name, "exec")
    expected = {"scheduler": "process_up", "worker": "process_up", "store": "ping"}
    assert expected.get(name, "/readyz") in check["test"][-1]


def test_images_are_pinned_by_their_major_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {each["image"] for each in SERVICES.values()} == {f"reminder-worker:{version}", "valkey/valkey:9"}


@pytest.mark.parametrize("name", OURS)
def test_the_page_says_what_a_container_is_given(name: str) -> None:
    row = re.search(rf"(?m)^\| `{name}`[^|]* \| (\d+) \| (.*?) \| (.*?) \| (.*) \|$", PAGE)
    assert row, name
    sources = {one if isinstance(one, str) else one["source"] for one in SERVICES[name]["secrets"]}
    assert f"{row[1]}:{row[1]}" == SERVICES[name]["user"]
    assert set(re.findall(r"`(.+?)`", row[2])) == sources
    assert set(re.findall(r"`(.+?)`", row[4])) == set(SERVICES[name]["networks"])
    for volume in SERVICES[name].get("volumes", []):
        assert f"`{volume.removeprefix('./compose/').partition(':')[0]}`" in row[3]


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not here")
def test_compose_reads_the_file() -> None:
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker is here without compose")
    command = ["docker", "compose", "--file", str(COMPOSE), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# The settings beside it.


@pytest.mark.parametrize("name", OURS)
def test_a_process_is_told_what_its_unit_tells_it(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = settings.read(BESIDE / f"{name}.toml")
    assert chosen.production
    assert chosen.store_url == f"redis://{user(name)}@store:6379/0"
    assert chosen.store_password_file == Path("/run/secrets/store.password")
    texts = {file: (file / f"{name}.toml").read_text() for file in (BESIDE, UNITS)}
    unit = texts[UNITS].replace(f"/run/credentials/reminder-worker-{name}.service/", "/run/secrets/")
    unit = unit.replace("@127.0.0.1:", "@store:").replace('"127.0.0.1:9464"', '"0.0.0.0:9464"')
    unit = unit.replace('["127.0.0.1"]', f'["{FILE["networks"]["operators"]["ipam"]["config"][0]["gateway"]}"]')
    ours = texts[BESIDE].replace('store_password_file = "/run/secrets/store.password"\n', "")
    assert ours == unit


@pytest.mark.parametrize("kind", ["scheduler", "worker"])
def test_a_check_asks_where_the_process_answers(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    asked = re.findall(r"//([\w.]+):(\d+)/metrics", SERVICES[kind]["healthcheck"]["test"][-1])
    ports = {one: settings.read(BESIDE / f"{one}.toml").metrics_address(one)[1] for one in KINDS}
    told = {"127.0.0.1": kind, "scheduler": "scheduler"}
    assert asked
    assert [int(port) for _, port in asked] == [ports[told[host]] for host, _ in asked]


def test_the_store_of_the_file_is_one_that_production_starts_with(tmp_path: Path) -> None:
    made = tmp_path / "secrets"
    made.mkdir()
    for user in ("web", "scheduler"):
        (made / f"{user}.password").write_text(f"password of {user}\n")
    users = tmp_path / "users.acl"
    joined = subprocess.run([ROOT / "ops/redis/join", made], capture_output=True, text=True, check=True).stdout
    (health,) = re.findall(r'echo "(user health .*?)"', PAGE)
    users.write_text(f"{joined}{health}\nuser admin on >admin ~* &* +@all\n")
    said = [*SERVICES["store"]["command"], "--port 0", f"--unixsocket {tmp_path}/s"]
    words = " ".join(said[1:]).replace("/run/secrets/users.acl", str(users)).replace("--dir /data", f"--dir {tmp_path}")
    with subprocess.Popen([server_program(), *shlex.split(words)], stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(f"unix://health:none@{tmp_path}/s", server)
            with contextlib.closing(store.connect(f"unix://admin:admin@{tmp_path}/s")) as client:
                assert list(doctor.check_store(client)) == []
                assert client.config_get("appendfsync") == {"appendfsync": "always"}
            with (
                contextlib.closing(
                    redis.Redis(unix_socket_path=f"{tmp_path}/s", username="health", password="none")
                ) as one,
                pytest.raises(redis.exceptions.NoPermissionError),
            ):
                one.dbsize()
        finally:
            server.terminate()


# The image.


def test_the_image_runs_as_nobody_and_without_a_shell() -> None:
    last = dict(STEPS[max(place for place, step in enumerate(STEPS) if step[0] == "FROM") :])
    assert last["USER"] == "10001:10001"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert last["HEALTHCHECK"] == "NONE"
    assert last["ENTRYPOINT"] == '["reminder-worker"]'
    assert not {"RUN", "ADD", "VOLUME", "EXPOSE"} & last.keys()
    assert {step[1].split(" AS ")[0] for step in STEPS if step[0] == "FROM"} == {"python:3.13-slim"}


def test_its_labels_say_what_it_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="(.*?)"', CONTAINERFILE))
    assert said == {
        "title": project["name"],
        "description": project["description"],
        "version": project["version"],
        "revision": "${REVISION}",
        "licenses": project["license"],
    }


def test_what_it_copies_is_there_and_is_all_that_is_sent() -> None:
    copied = [word for step, rest in STEPS if step == "COPY" and "--from" not in rest for word in rest.split()[:-1]]
    ignore = (ROOT / ".containerignore").read_text().splitlines()
    let_through = [line[1:] for line in ignore if line.startswith("!")]
    assert "*" in ignore
    assert all((ROOT / path).exists() for path in copied)
    inside = {path: next(one for one in let_through if path == one or path.startswith(f"{one}/")) for path in copied}
    assert set(inside.values()) == set(let_through)
    assert (ROOT / ".dockerignore").resolve() == ROOT / ".containerignore"


EXTRAS = "aws", "messagebird", "rabbitmq", "smpp", "twilio"


def locked(path: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the version and the hashes of each package of a lock file."""
    entries = re.split(r"\n(?=\S)", path.read_text().replace("\\\n", ""))
    found = {}
    for entry in filter(None, entries):
        name, _, version = entry.split()[0].partition("==")
        found[canonicalize_name(name)] = version, tuple(sorted(re.findall(r"--hash=(\S+)", entry)))
    return found


def needed(names: list[Requirement]) -> set[str]:
    """Return all that these need, one after another, on the image's Python and Linux."""
    there = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux", "os_name": "posix"}
    there |= {"platform_system": "Linux", "implementation_name": "cpython", "platform_python_implementation": "CPython"}
    found: set[str] = set()
    left = [(one.name, frozenset(one.extras)) for one in names]
    seen = set()
    while left:
        name, extras = left.pop()
        found.add(canonicalize_name(name))
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in requires(name) or []:
            one = Requirement(text)
            wanted = (
                [True]
                if one.marker is None
                else [one.marker.evaluate(there | {"extra": extra}) for extra in (*extras, "")]
            )
            if any(wanted):
                left.append((one.name, frozenset(one.extras)))
    return found


def test_what_runs_is_locked_as_it_was_tested() -> None:
    tested, run, build = (
        locked(path) for path in (ROOT / "requirements.lock", LOCKS / "run.lock", LOCKS / "build.lock")
    )
    assert run.items() <= tested.items()
    assert build.items() <= tested.items()
    assert all(hashes for _, hashes in (run | build).values())


def test_all_that_runs_is_locked_and_nothing_that_only_tests_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    optional = project["project"]["optional-dependencies"]
    wanted = project["project"]["dependencies"] + [one for extra in EXTRAS for one in optional[extra]]
    run = locked(LOCKS / "run.lock").keys()
    elsewhere = {"async-timeout", "colorama"}  # other Pythons and systems: one lock for all
    assert run - elsewhere == needed([Requirement(one) for one in wanted]) - elsewhere
    assert set(optional) - set(EXTRAS) == {"demo", "testing"}
    assert {Requirement(one).name for one in project["build-system"]["requires"]} <= locked(LOCKS / "build.lock").keys()
