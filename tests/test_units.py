"""The systemd units, as systemd reads and rates them, and the settings beside them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from estate import KINDS, UNITS, unit, values

from reminder_worker import serving, settings

EXPOSURE = {"web": 11, "hooks": 9, "scheduler": 9, "worker": 12, "ops": 9}  # tenths, as docs/hardening.md has them
NEWER = 3  # by how much another version of systemd may differ: each knows more than the one before
LONGEST_CALL = 60  # seconds; see providers.Table
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def name(kind: str) -> str:
    return f"reminder-worker-{kind}.service"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with the units, whose program is where it can be found."""
    for kind in KINDS:
        text = (UNITS / name(kind)).read_text()
        (tmp_path / name(kind)).write_text(text.replace("/opt/reminder-worker/bin/reminder-worker", sys.executable))
    return tmp_path


def analyse(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(installed: Path) -> None:
    done = analyse("verify", *(installed / name(kind) for kind in KINDS))
    ours = [line for line in done.stderr.splitlines() if "reminder-worker" in line]
    assert ours == []
    assert done.returncode == 0, done.stderr


@needs_systemd
@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_is_no_more_exposed_than_the_page_says(installed: Path, kind: str) -> None:
    limit = EXPOSURE[kind] + NEWER
    done = analyse("security", "--offline=true", "--no-pager", f"--threshold={limit}", installed / name(kind))
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze does not rate files")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_tells_the_exposure(kind: str) -> None:
    page = (UNITS.parents[1] / "docs" / "hardening.md").read_text()
    assert re.search(rf"(?m)^\| `{kind}` \|.*\| {EXPOSURE[kind] / 10} \|$", page)


EVERYWHERE = """
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
LimitCORE=0
MemorySwapMax=0
KeyringMode=private
UMask=0077
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
PrivateUsers=yes
PrivateIPC=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SocketBindDeny=any
Restart=always
"""


@pytest.mark.parametrize("kind", KINDS)
def test_every_unit_has_every_restriction(kind: str) -> None:
    lines = [f"{setting}={value}" for setting, value in unit(kind)]
    assert [wanted for wanted in EVERYWHERE.split("\n") if wanted and wanted not in lines] == []


def test_only_the_worker_may_change_an_owner_or_choose_a_processor() -> None:
    filters = {kind: values(kind, "SystemCallFilter")[2:] for kind in KINDS}
    assert filters == {"web": [], "hooks": [], "scheduler": [], "worker": ["@chown", "sched_setaffinity"], "ops": []}


def test_who_needs_nobody_outside_reaches_nobody_outside() -> None:
    reach = {kind: (values(kind, "IPAddressDeny"), values(kind, "IPAddressAllow")) for kind in KINDS}
    local = (["any"], ["localhost"])
    assert reach == {"web": ([], []), "hooks": local, "scheduler": local, "worker": ([], []), "ops": local}
    listening = {kind: values(kind, "SocketBindAllow") for kind in KINDS}
    assert listening == {
        "web": ["tcp:8080", "tcp:9466"],
        "hooks": ["tcp:8081", "tcp:9467"],
        "scheduler": ["tcp:9465"],
        "worker": ["tcp:9464"],
        "ops": ["tcp:8082", "tcp:9468"],
    }


HELD = {
    "web": {"gateway.key", "clinic.whsec", "web.password"},
    "hooks": {"twilio", "hooks.password"},
    "scheduler": {"scheduler.password"},
    "worker": {"twilio", "worker.password"},
    "ops": {"operator.password"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_is_handed_its_own_secrets_only(kind: str) -> None:
    handed_over = {Path(line.partition(":")[2]).name for line in values(kind, "LoadCredential")}
    assert handed_over == HELD[kind]
    state = [f"reminder-worker/{kind}"] if kind in {"web", "worker", "ops"} else []
    assert values(kind, "StateDirectory") == state
    assert values(kind, "StateDirectoryMode") == ["0700"] * len(state)


@pytest.mark.parametrize("kind", KINDS)
def test_no_variable_and_no_command_line_holds_a_secret(kind: str) -> None:
    assert values(kind, "Environment") == ["REMINDER_STORE_PASSWORD_FILE=%d/store.password"]
    assert values(kind, "EnvironmentFile") == values(kind, "SetCredential") == []
    (command,) = values(kind, "ExecStart")
    assert re.fullmatch(rf"\S+ {kind} --config /etc/reminder-worker/{kind}\.toml( --(port|processes) \d+)?", command)


def test_each_has_a_user_of_its_own() -> None:
    users = [values(kind, "User") + values(kind, "Group") for kind in KINDS]
    assert users == [[f"reminder-{kind}"] * 2 for kind in KINDS]
    made = re.findall(r"(?m)^u (\S+) - ", (UNITS / "sysusers.conf").read_text())
    assert made == [f"reminder-{kind}" for kind in KINDS]


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not here")
def test_systemd_makes_the_users() -> None:
    command = ["systemd-sysusers", "--dry-run", str(UNITS / "sysusers.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-sysusers makes them at once")
    assert done.returncode == 0, done.stderr


def test_there_is_time_to_finish_what_is_under_way() -> None:
    patience = {kind: int(values(kind, "TimeoutStopSec")[0]) for kind in KINDS}
    graceful = serving.server(None, "127.0.0.1", 1).config.timeout_graceful_shutdown  # type: ignore[arg-type]
    assert patience["hooks"] > graceful
    assert patience["ops"] > graceful
    assert patience["web"] > graceful + 10
    assert patience["worker"] > LONGEST_CALL
    assert values("worker", "KillMode") == ["mixed"]


# The settings beside the units.


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REMINDER_STORE_PASSWORD_FILE", "/run/credentials/x/store.password")


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_is_told_only_what_it_may_know(kind: str, alone: None) -> None:
    chosen = settings.read(UNITS / f"{kind}.toml")
    assert chosen.production
    port = chosen.metrics_address(kind)[1]
    assert f"tcp:{port}" in values(kind, "SocketBindAllow")
    assert chosen.store_url == f"redis://{'operator' if kind == 'ops' else kind}@127.0.0.1:6379/0"
    text = (UNITS / f"{kind}.toml").read_text()
    theirs = [path for path in re.findall(r'"(/[^"]+)"', text) if f"/{kind}/" not in path and f"-{kind}." not in path]
    assert set(theirs) == ({"/etc/reminder-worker/public"} if kind == "hooks" else set())
    assert bool(chosen.platforms) is (kind in {"web", "worker"})
    assert bool(chosen.providers) is (kind in {"hooks", "worker", "ops"})
    assert (chosen.ops is not None) is (kind == "ops")
    assert kind != "ops" or chosen.providers == {"twilio": {}}


def test_what_two_processes_have_to_agree_on_is_the_same(alone: None) -> None:
    web, worker = (settings.read(UNITS / f"{kind}.toml").platforms["clinic"] for kind in ("web", "worker"))
    same = "leads", "quiet_hours", "countries", "due_grid"
    assert [getattr(web, field) for field in same] == [getattr(worker, field) for field in same]
    hooks, worker_s = (settings.read(UNITS / f"{kind}.toml") for kind in ("hooks", "worker"))
    assert hooks.hooks_url == worker_s.hooks_url
    assert hooks.providers["twilio"].keys() == worker_s.providers["twilio"].keys()
