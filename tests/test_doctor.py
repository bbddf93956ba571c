import logging
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import practice
import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as Away

from reminder_worker import apikeys, doctor, hooks, keys, sealing, settings, store
from reminder_worker.doctor import keyring
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import SettingsError
from reminder_worker.findings import Finding, Grade
from reminder_worker.gateway import Mode
from reminder_worker.logs import plain
from reminder_worker.sealing import PublicKeys

SAFE = """
profile = "production"
[platforms.clinic]
verify_key = "keys/clinic.pub"
countries = ["FR"]
due_grid = "1h"
[providers.twilio]
account_sid = "AC00000000000000000000000000000000"
auth_token_file = "token"
from = "+15005550006"
callback_url = "https://hooks.example"
"""


class Server:
    """A store that says of itself what a test wants to hear."""

    def __init__(self, clock: float = 0.0, **facts) -> None:
        self._facts = {"redis_version": "7.2.0", "aof_enabled": 1, "aof_last_write_status": "ok"} | facts
        self._clock = clock

    def info(self, section: str) -> dict:
        return self._facts

    def time(self) -> tuple[int, int]:
        return int(time.time() + self._clock), 0


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that production needs."""
    monkeypatch.chdir(tmp_path)
    practice.make_keys(tmp_path / "keys")
    token = tmp_path / "token"
    token.write_text("0" * 32)
    token.chmod(0o600)
    return tmp_path


def read(shop: Path, text: str = SAFE) -> settings.Settings:
    path = shop / "reminder-worker.toml"
    path.write_text(text)
    return settings.read(path)


def worker(shop: Path, text: str = SAFE) -> list[Finding]:
    return list(doctor.check_worker(read(shop, text)))


def codes(findings) -> list[str]:
    return [one.code for one in findings]


# The store.


def test_a_safe_store_is_found_safe(server: EmbeddedServer):
    assert list(doctor.check_store(store.connect(server.url()))) == []


@pytest.fixture(scope="module")
def unsafe(tmp_path_factory) -> Iterator[EmbeddedServer]:
    options = "--appendonly", "no", "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"
    with EmbeddedServer(tmp_path_factory.mktemp("unsafe"), *options) as running:
        yield running


def test_a_store_that_forgets_is_found(unsafe):
    found = list(doctor.check_store(store.connect(unsafe.url())))
    assert codes(found) == ["no_append_only_file", "store_evicts"]
    assert [one.mend for one in found] == ["set appendonly yes", "set maxmemory-policy noeviction"]
    assert {one.grade for one in found} == {Grade.UNSAFE}


@pytest.mark.parametrize("policy", ["volatile-lru", "allkeys-random", "volatile-ttl"])
def test_every_kind_of_eviction_is_unsafe(policy):
    assert codes(doctor.check_store(Server(maxmemory_policy=policy))) == ["store_evicts"]


def test_an_append_only_file_that_cannot_be_written_is_found():
    assert codes(doctor.check_store(Server(aof_last_write_status="err"))) == ["append_only_file_fails"]


@pytest.mark.parametrize(("version", "old"), [("7.1.9", True), ("6.2.14", True), ("7.2.0", False), ("10.0.1", False)])
def test_a_server_needs_the_version_that_scripts_and_durability_need(version, old):
    assert codes(doctor.check_store(Server(redis_version=version))) == ["store_old"] * old


def test_valkey_is_known_by_its_own_version():
    assert codes(doctor.check_store(Server(redis_version="7.0.0", valkey_version="9.1.0"))) == []


@pytest.mark.parametrize(("skew", "found"), [(0, False), (25, False), (-25, False), (35, True), (-40, True)])
def test_clocks_may_be_half_a_minute_apart(skew, found):
    assert codes(doctor.check_store(Server(skew))) == ["clocks_differ"] * found


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, []),
        ({"connected_slaves": 2}, ["no_min_replicas"]),
        ({"connected_slaves": 2, "min_slaves_good_slaves": 1}, []),
    ],
)
def test_a_master_that_would_go_on_without_its_replicas_is_noted(facts, found):
    findings = list(doctor.check_store(Server(**facts)))
    assert codes(findings) == found
    assert all(one.grade is Grade.NOTE for one in findings)


def test_a_store_that_does_not_answer_is_one_finding_without_its_words():
    class Gone:
        def info(self, section: str):
            raise Away("redis://:PASSWORD@host")

    [found] = doctor.check_store(Gone())
    assert (found.code, found.what) == ("store_away", "the store does not answer (ConnectionError)")


def test_a_store_that_refuses_us_is_not_said_to_be_silent():
    class Guarded:
        def info(self, section: str):
            raise AuthenticationError("WRONGPASS secret")

    [found] = doctor.check_store(Guarded())
    assert (found.code, found.what) == ("store_away", "the store refuses us (AuthenticationError)")


def test_a_password_in_a_url_is_unsafe_and_not_repeated(shop):
    for what in ("store", "queue"):
        [found] = doctor.check_passwords(read(shop, f'{what}_url = "redis://web:hunter2@store.example/0"'))
        assert (found.grade, found.code) == (Grade.UNSAFE, "password_in_url")
        assert f"{what}_password_file" in found.mend
        assert "hunter2" not in f"{found}"


@pytest.mark.parametrize(
    ("url", "noted"),
    [
        ("redis://store.example/0", True),
        ("redis://web@store.example/0", True),
        ("rediss+cluster://web@a.example:1,b.example:2", True),
        ("unix:///run/valkey.sock", False),
        ("rediss://store.example/0?ssl_certfile=web.pem", False),
    ],
)
@pytest.mark.parametrize("what", ["store", "queue"])
def test_a_store_without_a_password_is_noted_where_nothing_else_can_stand_for_one(shop, what, url, noted):
    found = list(doctor.check_passwords(read(shop, f'{what}_url = "{url}"')))
    assert [(one.grade, one.code) for one in found] == [(Grade.NOTE, "no_password")] * noted
    assert all(f"{what}_url" in one.what and f"{what}_password_file" in one.mend for one in found)


def test_a_password_in_a_file_is_safe_where_nobody_else_reads_it(shop):
    text = """
    store_url = "redis://web@store.example/0"
    store_password_file = "password"
    queue_url = "redis://web@queue.example/0"
    queue_password_file = "password"
    """
    (shop / "password").write_text("hunter2")
    (shop / "password").chmod(0o600)
    assert list(doctor.check_passwords(read(shop, text))) == []
    (shop / "password").chmod(0o640)
    assert codes(doctor.check_passwords(read(shop, text))) == ["readable_by_others"] * 2


# What a worker holds.


def test_a_safe_installation_is_found_safe(shop):
    assert worker(shop) == []


RESOLVED = SAFE.replace(
    'countries = ["FR"]',
    'countries = ["FR"]\nresolver_url = "https://booking.example/contacts"\nresolver_secret_file = "resolver"',
)


def with_secret(shop: Path, text: str = "whsec_" + "A" * 32, mode: int = 0o600) -> Path:
    file = shop / "resolver"
    file.write_text(text)
    file.chmod(mode)
    return shop


def test_a_resolver_with_a_private_secret_is_found_safe(shop):
    assert worker(with_secret(shop), RESOLVED) == []


def test_a_resolvers_secret_that_others_can_read_is_found(shop):
    [found] = worker(with_secret(shop, mode=0o640), RESOLVED)
    assert (found.code, found.mend) == ("readable_by_others", "run: chmod 600 resolver")
    assert "platforms.clinic.resolver_secret_file" in found.what


@pytest.mark.parametrize("text", ["", "hunter2", "whsec_hunter2", "whsec_" + "A" * 28])
def test_a_resolvers_secret_that_cannot_be_used_is_found_and_not_quoted(shop, text):
    [found] = worker(with_secret(shop, text), RESOLVED)
    assert found.code == "unusable"
    assert "resolver: must be a readable file" in found.what
    assert "hunter2" not in f"{found}"


@pytest.mark.parametrize("name", ["worker.pointer.1.key", "worker.ratchet", "clinic.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_private_key_that_others_can_read_is_found(shop, name, mode):
    (shop / "keys" / name).chmod(mode)
    [found] = worker(shop)
    assert found.code == "readable_by_others"
    assert found.what == f"keys/{name} can be read by others"
    assert found.mend == f"run: chmod 600 keys/{name}"


@pytest.mark.parametrize("name", ["worker.pub.json", "clinic.pub"])
def test_public_keys_may_be_read_by_all(shop, name):
    (shop / "keys" / name).chmod(0o644)
    assert worker(shop) == []


def test_a_credential_that_others_can_read_is_found(shop):
    (shop / "token").chmod(0o644)
    [found] = worker(shop)
    assert (found.code, found.mend) == ("readable_by_others", "run: chmod 600 token")


@pytest.mark.parametrize("name", ["worker.pointer.1.key", "worker.ratchet", "clinic.pub"])
def test_a_missing_key_file_is_named(shop, name):
    (shop / "keys" / name).unlink()
    [found] = worker(shop)
    assert found.code == "unusable"
    assert name in found.what


def test_no_keys_at_all_are_one_finding(shop):
    assert codes(worker(shop, 'keys = "none"\n' + SAFE)) == ["unusable"]


@pytest.mark.parametrize("other", ["clinic.key", "worker.pub.json", "worker.ratchet"])
def test_a_verify_key_of_another_kind_is_found_and_not_quoted(shop, other):
    [found] = worker(shop, SAFE.replace("clinic.pub", other))
    assert found.what == f"platforms.clinic.verify_key: keys/{other}: is not a reminder-worker platform verify key"
    assert not any(word in f"{found}" for word in (shop / "keys" / other).read_text().split() if len(word) > 20)


def test_a_damaged_key_is_found(shop):
    path = shop / "keys" / "worker.pointer.1.key"
    path.write_text(path.read_text()[:-3])
    assert codes(worker(shop)) == ["unusable"]


def test_a_platform_that_may_text_the_whole_world_is_found(shop):
    [found] = worker(shop, SAFE.replace('countries = ["FR"]', ""))
    assert (found.code, found.what) == ("no_countries", "platforms.clinic.countries is empty")


def test_a_country_that_has_no_numbers_is_a_note(shop):
    [found] = worker(shop, SAFE.replace('["FR"]', '["FR", "UK"]'))
    where = "platforms.clinic.countries.1"
    assert (found.grade, found.code, found.what) == (
        Grade.NOTE,
        "no_country",
        f"{where} is not a country with phone numbers",
    )


def test_due_times_that_tell_the_appointments_are_a_note_in_production(shop):
    exact = SAFE.replace('due_grid = "1h"', "")
    [found] = worker(shop, exact)
    assert (found.grade, found.code, found.what) == (Grade.NOTE, "no_due_grid", "platforms.clinic.due_grid is not set")
    assert worker(shop, exact.replace("production", "dev")) == []


def test_a_store_whose_disk_is_not_waited_for_is_a_note_in_production(shop):
    hasty = f'durability = "none"\n{SAFE}'
    [found] = worker(shop, hasty)
    assert (found.grade, found.code, found.what) == (Grade.NOTE, "not_durable", 'durability is "none"')
    assert worker(shop, hasty.replace("production", "dev")) == []
    assert worker(shop, hasty.replace("none", "replica")) == []


def test_what_may_text_somebody_twice_by_choice_is_a_note_in_production(shop):
    chosen = f'on_unknown = "resend"\n{SAFE}'
    assert codes(worker(shop, chosen)) == ["resends"]
    assert codes(worker(shop, chosen.replace("resend", "hold"))) == []
    assert "resends" not in codes(worker(shop, chosen.replace("production", "dev")))


def test_a_provider_that_keeps_texts_or_reports_to_nobody_is_a_note(shop):
    quiet = SAFE.replace('callback_url = "https://hooks.example"', "")
    assert codes(worker(shop, quiet)) == ["no_receipts"]
    assert codes(worker(shop, SAFE + 'redact = "off"\n')) == ["provider_keeps_texts"]
    assert codes(worker(shop, SAFE + 'redact = "after"\n')) == []
    assert {one.grade for one in worker(shop, quiet)} == {Grade.NOTE}


@pytest.mark.parametrize("table", ["[providers.outbox]", '[providers.texts]\ntype = "outbox"'])
def test_the_outbox_is_found_whatever_its_name(shop, table):
    found = worker(shop, f'{SAFE}{table}\npath = "outbox.jsonl"\n')
    assert codes(found) == ["outbox"]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('auth_token_file = "token"', 'auth_token_file = "none"', "providers.twilio.auth_token_file"),
        ('from = "+15005550006"', "", "providers.twilio"),
        ("[providers.twilio]", "[providers.pigeon]", "providers.pigeon: no such provider"),
    ],
)
def test_a_provider_that_cannot_be_used_is_found(shop, old, new, what):
    [found] = worker(shop, SAFE.replace(old, new))
    assert (found.code, found.what.startswith(what)) == ("unusable", True)


def test_a_template_that_cannot_be_used_is_found(shop):
    (shop / "texts" / "fr").mkdir(parents=True)
    (shop / "texts" / "fr" / "reminder.txt").write_text("[place]\nCANARY {name}\n")
    [found] = worker(shop, 'templates = "texts"\n' + SAFE)
    assert found.code == "unusable"
    assert found.what.startswith("fr/reminder.txt ")
    assert "CANARY" not in f"{found}"


def test_an_installation_without_platforms_or_providers_is_found(shop):
    assert codes(worker(shop, "")) == ["no_platform", "no_provider"]


def test_a_keys_folder_in_which_no_key_can_be_forgotten_is_a_note(shop, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != shop / "keys" or not mode & os.W_OK)
    (found,) = keyring.check_keys(shop / "keys")
    assert (found.code, found.grade) == ("keys_not_writable", Grade.NOTE)
    assert found.what == f"{shop / 'keys'} cannot be written to by this user"


def test_a_key_that_leads_nowhere_is_passed_over(shop):
    (shop / "keys" / "old.key").symlink_to(shop / "gone")
    assert worker(shop) == []


def test_keys_that_were_rotated_are_all_looked_at(shop):
    done = keys.rotate(shop / "keys", datetime.now(UTC))
    done.pointer_file.chmod(0o644)
    assert [one.what for one in worker(shop)] == ["keys/worker.pointer.2.key can be read by others"]


def test_a_finding_holds_no_secret(shop):
    (shop / "token").chmod(0o644)
    for path in (shop / "keys").iterdir():
        path.chmod(0o644)
    found = repr(worker(shop, SAFE + '[providers.outbox]\npath = "outbox.jsonl"\n'))
    secrets = [line.split()[1] for path in (shop / "keys").glob("*.key") for line in path.read_text().splitlines()[1:]]
    assert secrets
    assert not any(secret in found for secret in [*secrets, "0" * 32, "+15005550006"] if secret != "clinic")


# What follows.

BAD = Finding(Grade.UNSAFE, "outbox", "the outbox is used", "nobody is reminded", "use another")
WORSE = Finding(Grade.UNSAFE, "store_old", "the store is old", "it forgets", "upgrade it")
NOTE = Finding(Grade.NOTE, "note", "all is well", "so far", "go on")


def test_production_does_not_start_with_what_is_unsafe(shop):
    message = "^production would be unsafe: the outbox is used; use another. the store is old; upgrade it$"
    with pytest.raises(SettingsError, match=message):
        doctor.require(read(shop), iter([BAD, NOTE, WORSE]))


def test_production_starts_with_a_note(shop):
    assert doctor.require(read(shop), iter([NOTE])) == [NOTE]


def test_development_starts_with_anything_and_is_told(shop):
    chosen = read(shop, SAFE.replace("production", "dev"))
    assert doctor.require(chosen, iter([BAD, NOTE])) == [BAD, NOTE]


def test_what_is_unsafe_is_logged_by_its_code(caplog):
    with caplog.at_level(logging.INFO):
        doctor.warn([BAD, NOTE, WORSE])
    assert [(one.message, one.reason) for one in caplog.records] == [("unsafe", "outbox"), ("unsafe", "store_old")]


def test_every_code_may_be_logged(shop, unsafe):
    found = [
        *worker(shop, '[providers.outbox]\npath = "outbox.jsonl"'),
        *doctor.check_store(store.connect(unsafe.url())),
        *doctor.check_store(Server(99, redis_version="7.0", aof_last_write_status="err")),
    ]
    assert len(found) > 5
    assert [plain(one.code) for one in found] == codes(found)


def test_files_that_nobody_may_open_are_a_finding(shop):
    if os.geteuid() == 0:
        pytest.skip("root may open every file")
    (shop / "keys" / "worker.ratchet").chmod(0o000)
    assert codes(worker(shop)) == ["unusable"]


def test_public_keys_that_soon_run_out_are_found(shop):
    folder = shop / "keys"
    public = PublicKeys.load(folder / "worker.pub.json")
    last = sealing.week(datetime.now(UTC)) + keyring.FEWEST_WEEKS
    for end, found in ((last, []), (last - 1, ["keys_run_out"])):
        few = PublicKeys(public.pointers, {week: key for week, key in public.envelopes.items() if week <= end})
        (folder / "worker.pub.json").write_text(few.to_json())
        assert codes(worker(shop)) == found
    assert [one.grade for one in worker(shop)] == [Grade.NOTE]  # what is pending is sent: no reason not to start


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "cannot be read; it should hold the worker's public keys"),
        (lambda path: path.write_text("{}"), "public keys: not the JSON that `reminder-worker keys public` prints"),
        (lambda path: None, "root: the public keys are not signed by the root that is pinned; seal nothing to them"),
    ],
)
def test_public_keys_that_nothing_can_be_sealed_to_are_found_by_all_who_seal(shop, spoil, said):
    _, root = keys.new_root(shop / "root")
    spoil(shop / "keys" / "worker.pub.json")
    chosen = read(shop, f'root = "{root.read_text().split()[-1]}"\n{SAFE}')
    for check in (doctor.check_worker, doctor.check_hooks, doctor.check_published):
        (found,) = check(chosen)
        assert (found.code, found.grade) == ("not_published", Grade.UNSAFE)
        assert found.what == f"keys/worker.pub.json: {said}"


def test_hooks_does_not_start_in_production_with_credentials_that_others_can_read(shop, monkeypatch):
    (shop / "token").chmod(0o644)
    monkeypatch.setattr(hooks.logs, "set_up", lambda *_: None)
    monkeypatch.setattr(doctor, "check_store", lambda _: iter(()))
    chosen = read(shop, f'store_url = "redis://127.0.0.1:1/0"\n{SAFE}')
    with pytest.raises(SettingsError, match="auth_token_file: the file can be read by others; run: chmod 600"):
        hooks.run(chosen, "127.0.0.1", 1)


def test_hooks_holds_what_its_providers_sign_with_for_itself_alone(shop):
    assert list(doctor.check_hooks(read(shop))) == []
    (shop / "token").chmod(0o644)
    assert codes(doctor.check_hooks(read(shop))) == ["readable_by_others"]
    (shop / "token").unlink()
    assert codes(doctor.check_hooks(read(shop))) == ["unusable"]


def test_looking_forgets_no_key_whatever_the_clock_says(shop, monkeypatch):
    before = {path: path.read_bytes() for path in (shop / "keys").iterdir()}
    for weeks, found in ((20, []), (200, ["unusable", "keys_run_out"])):
        ahead = datetime.now(UTC) + timedelta(weeks=weeks)
        monkeypatch.setattr(keyring, "datetime", SimpleNamespace(now=lambda _, ahead=ahead: ahead))
        assert codes(worker(shop)) == found
    assert {path: path.read_bytes() for path in (shop / "keys").iterdir()} == before


def test_a_gateway_whose_keys_others_can_read_or_that_end_soon_is_found(shop: Path) -> None:
    chosen = read(shop)
    keys.new_gateway(shop / "keys")
    (found,) = doctor.check_gateway(chosen)
    assert (found.grade, found.code) == (Grade.UNSAFE, "unusable")
    for days in (365, 20):
        make = {"mode": Mode.LIVE, "scopes": set(apikeys.Scope), "lasts": timedelta(days=days)}
        handed_over = apikeys.new("clinic", shop / "keys", now=datetime.now(UTC), **make)
    (found,) = doctor.check_gateway(chosen)
    assert (found.grade, found.code) == (Grade.NOTE, "api_key_ends")
    assert handed_over.name.split(".")[2] in found.what
    (shop / "keys" / "gateway.key").chmod(0o644)
    handed_over.chmod(0o644)
    assert [one.code for one in doctor.check_gateway(chosen)] == ["readable_by_others", "api_key_ends"]
    assert "readable_by_others" in [one.code for one in doctor.check_worker(chosen) if handed_over.name in one.what]


def test_an_api_key_of_a_platform_that_the_settings_do_not_know_is_found(shop: Path) -> None:
    keys.new_gateway(shop / "keys")
    for name in ("clinic", "stranger"):
        make = {"mode": Mode.LIVE, "scopes": set(apikeys.Scope), "lasts": timedelta(days=365)}
        apikeys.new(name, shop / "keys", now=datetime.now(UTC), **make)
    (found,) = doctor.check_gateway(read(shop))
    assert (found.grade, found.code) == (Grade.UNSAFE, "api_key_of_nobody")
    assert "[platforms.stranger]" in found.what
    old = {"mode": Mode.LIVE, "scopes": set(apikeys.Scope), "lasts": timedelta(days=1)}
    apikeys.revoke(apikeys.listed(shop / "keys")[1].name, shop / "keys")
    apikeys.new("stranger", shop / "keys", now=datetime.now(UTC) - timedelta(days=2), **old)
    assert codes(doctor.check_gateway(read(shop))) == ["api_key_ends"]  # one that has ended calls nobody


TOLD = SAFE.replace(
    'countries = ["FR"]',
    'countries = ["FR"]\nevents_url = "https://booking.example/events"\nevents_secret_file = "resolver"',
)


def test_a_secret_of_events_is_the_gateway_s_to_look_at(shop: Path) -> None:
    keys.new_gateway(shop / "keys")
    make = {"mode": Mode.LIVE, "scopes": set(apikeys.Scope), "lasts": timedelta(days=365)}
    apikeys.new("clinic", shop / "keys", now=datetime.now(UTC), **make)
    assert list(doctor.check_gateway(read(with_secret(shop), TOLD))) == []
    [found] = doctor.check_gateway(read(with_secret(shop, mode=0o640), TOLD))
    assert found.code == "readable_by_others"
    assert "platforms.clinic.events_secret_file" in found.what
    [found] = doctor.check_gateway(read(with_secret(shop, "whsec_hunter2"), TOLD))
    assert found.code == "unusable"
    assert worker(with_secret(shop, "whsec_hunter2", 0o640), TOLD) == []
