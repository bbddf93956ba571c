"""Which addresses a name of somebody else's may lead to."""

import ipaddress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reminder_worker.addresses import is_public

OURS = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "192.0.1.1", "223.255.255.255"]


@pytest.mark.parametrize("address", OURS)
@pytest.mark.parametrize("form", ["{}", "::ffff:{}", "64:ff9b::{}"], ids=["plain", "mapped", "NAT64"])
def test_what_is_ours_is_so_however_it_is_written(address: str, form: str) -> None:
    assert not is_public(form.format(address))


@pytest.mark.parametrize("address", PUBLIC)
@pytest.mark.parametrize("form", ["{}", "::ffff:{}", "64:ff9b::{}"], ids=["plain", "mapped", "NAT64"])
def test_what_is_public_is_so_however_it_is_written(address: str, form: str) -> None:
    assert is_public(form.format(address))


@pytest.mark.parametrize(
    "address",
    [
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:808:808::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_addresses_of_version_6_that_are_not_handed_out_are_ours(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["2606:4700:4700::1111", "2a00:1450:4007:80f::200e", "2001:4860:4860::8888"])
def test_addresses_of_version_6_that_are_handed_out_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_nothing_that_python_calls_private_is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assume(not (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped))  # private in some versions only
    assert not (is_public(str(address)) and (address.is_private or address.is_loopback or address.is_link_local))
