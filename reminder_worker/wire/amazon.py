"""Calls to AWS: botocore builds, signs and reads them, over our own connections, each once and within one deadline.

No file, profile or variable of the AWS tools counts here, and botocore logs nothing: at DEBUG it writes what it sends.
AWS's words about a refusal hold the number: they stay in the answer, of which the caller reads one word.
"""

import io
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, CredentialRetrievalError, NoCredentialsError, PartialCredentialsError

from reminder_worker.errors import Misconfigured, NotSent, Reason, ReminderError
from reminder_worker.https import Site

_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)


@dataclass(frozen=True, slots=True)
class Answered:
    """What AWS answered."""

    status: int
    retry_after: str | None  # the header as it came
    content: Mapping[str, Any] = field(repr=False)  # empty if it cannot be read


class Amazon:
    """One service of AWS at one address; safe to share between threads."""

    def __init__(self, service: str, region: str, url: str) -> None:
        self._service = service
        self._region = region
        self._url = url
        self._site = Site(url)
        self._client: Any = None
        self._lock = threading.Lock()
        self._thread = threading.local()  # its call's deadline, status and Retry-After: botocore passes nothing through

    def connect(self, keys: tuple[str, str] | None) -> Any:
        """Build botocore's client, once, in a quarter of a second; without keys, with this machine's role.

        Raises Misconfigured if the machine has none; the next call looks for it again.
        """
        with self._lock:
            if self._client is None:
                self._client = _client(self._service, self._region, self._url, keys)
                self._client.meta.events.register_first("before-send", self._carry)
                _hush()
            return self._client

    def call(self, operation: str, parameters: Mapping[str, Any], deadline: float) -> Answered:
        """Make one call. Raises NotSent, Ambiguous, or Misconfigured if there are no credentials."""
        outcome = self._attempt(operation, parameters, deadline)
        if isinstance(outcome, ReminderError):
            raise outcome.with_traceback(None)  # here, so that no exception of botocore is attached to it
        return outcome

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _attempt(self, operation: str, parameters: Mapping[str, Any], deadline: float) -> Answered | ReminderError:
        mine = self._thread
        mine.deadline, mine.status, mine.retry_after = deadline, 0, None
        content: Mapping[str, Any] = {}
        try:
            content = getattr(self.connect(None), operation)(**parameters)
        except ReminderError as error:
            return error  # of the connection
        except _NO_CREDENTIALS:
            return Misconfigured()
        except ClientError as error:
            content = error.response
        except Exception:  # noqa: BLE001 - an answer that botocore cannot read, or nothing was asked
            if not mine.status:
                return NotSent(Reason.NOT_SENT)
        finally:
            answered = mine.status, mine.retry_after
            mine.__dict__.clear()
        return Answered(*answered, content)

    def _carry(self, request: Any, **_: Any) -> Any:
        """Carry a signed request to AWS, in place of botocore's own HTTP."""
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - loaded by now

        body = request.body.encode() if isinstance(request.body, str) else request.body
        headers = {name: _text(value) for name, value in request.headers.items() if name.lower() != "content-length"}
        path = request.url.removeprefix(self._url) or "/"
        answer = self._site.call(request.method, path, headers=headers, body=body, deadline=self._thread.deadline)
        self._thread.status, self._thread.retry_after = answer.status, answer.headers.get("Retry-After")
        return AWSResponse(request.url, answer.status, dict(answer.headers), _Body(answer.body))


def _text(value: str | bytes) -> str:
    """Read a header's value as botocore has it."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


def host(service: str, region: str) -> str:
    """Return the host of a service in a region."""
    return f"{service}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def _client(service: str, region: str, url: str, keys: tuple[str, str] | None) -> Any:
    """Build a client that tries once; without keys, with the role of this machine or container."""
    from botocore.config import Config  # noqa: PLC0415 - heavy, and not needed for hearing

    session = _session()
    if keys is None and session.get_credentials() is None:
        raise Misconfigured  # and ask for the role again at the next text
    return session.create_client(
        service,
        region_name=region,
        endpoint_url=url,
        verify=True,
        aws_access_key_id=keys and keys[0],
        aws_secret_access_key=keys and keys[1],
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}, proxies={}, user_agent="reminder-worker"),
    )


def _session() -> Any:
    """Return a session that reads no file, profile or variable of the AWS tools."""
    from botocore import configprovider, credentials, loaders, session, utils  # noqa: PLC0415 - heavy

    made = session.Session()
    silent = {"config_file": os.devnull, "credentials_file": os.devnull}
    for name, (_, _, default, _) in session.Session.SESSION_VARIABLES.items():
        constant = configprovider.ConstantProvider(silent.get(name, default))
        made.get_component("config_store").set_config_provider(name, constant)
    builtin = loaders.Loader([loaders.Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    made.register_component("data_loader", builtin)
    machine = credentials.InstanceMetadataProvider(utils.InstanceMetadataFetcher(env={}))
    roles = credentials.CredentialResolver([credentials.ContainerProvider(), machine])
    made.register_component("credential_provider", roles)
    return made


def _hush() -> None:
    """Switch botocore's loggers off, now that all exist: at DEBUG, which can be set, they write number and text."""
    logging.getLogger("botocore").setLevel(logging.CRITICAL)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "botocore":
            logging.getLogger(name).disabled = True


class _Body(io.BytesIO):
    """An answer's body, as botocore reads it."""

    def stream(self) -> Iterator[bytes]:
        """Yield all of it."""
        yield self.read()
