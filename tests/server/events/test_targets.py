"""Which addresses a webhook may call, at registration and at every connection."""

import asyncio
import ipaddress
import socket
from types import SimpleNamespace

import psutil
import pytest

from modelship_lab.records.errors import InvalidInput
from modelship_lab.server.events.sender import post
from modelship_lab.server.events.targets import Targets, is_public
from tests.server.events.receiver import receiving, reply

PRIVATE = [
    "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1",
    "::1", "::", "fe80::1", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
    "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808",
    "2001:0:53aa:64c:0:0:80ff:fffe", "2606:4700::1%eth0",
]  # fmt: skip

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::808:808"]


def run(work):
    return asyncio.run(work)


async def check(url, targets=None, may_be_private=False):
    targets = targets or Targets()
    try:
        await targets.check(url, may_be_private)
    finally:
        await targets.close()


async def send(url, targets, may_be_private=False):
    try:
        return await post(targets.session(url, may_be_private), url, b"{}", {})
    finally:
        await targets.close()


def found(*addresses):
    """A look-up that finds these, one more each time; the last one for ever."""
    left = list(addresses)

    def lookup(host, port):
        address = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    return lookup


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_routable_everywhere_is_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_routable_everywhere_is_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_to_a_private_address_is_refused(address):
    with pytest.raises(InvalidInput, match="not public"):
        run(check("https://hooks.example/x", Targets(lookup=found(address))))


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "2130706433", "0177.0.0.1",
        "0x7f.0.0.1", "0x7f000001", "127.1", "0", "１２７.0.0.1", "LOCALHOST.", "[fe80::1%25lo]", "169.254.169.254",
    ],
)  # fmt: skip
def test_no_spelling_of_a_private_address_is_registered_or_called(host):
    with receiving() as receiver:
        url = f"http://{host}:{receiver.port}/hook"
        with pytest.raises(InvalidInput):
            run(check(url))
        # As if it had been registered while the name led elsewhere.
        answer = run(send(url, Targets()))
        assert answer.status is None
        assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example/", "file:///etc/passwd", "gopher://hooks.example/", "hooks.example/x", "http://", "http:///x",
        "http://user@hooks.example/", "http://user:secret@hooks.example/", "http://:secret@hooks.example/",
        "http://hooks.example/#part", "http://hooks.example/#", "http://hooks.example:0/", "http://hooks.example:99999/",
        "http://hooks.example:x/", "http://hooks example/", "http://hooks.example\n/", "http://hooks.example\\@evil/",
        "http://[::1/", "\thttp://hooks.example/",
    ],
)  # fmt: skip
def test_what_is_no_address_for_a_webhook_is_refused(url):
    with pytest.raises(InvalidInput) as refused:
        # Even an administrator's.
        run(check(url, Targets(lookup=found("8.8.8.8")), may_be_private=True))
    assert refused.value.details[0]["field"] == "url"
    assert "secret" not in refused.value.message


def test_a_public_name_and_one_that_is_not_found_now_are_accepted():
    run(check("https://hooks.example/x", Targets(lookup=found("8.8.8.8"))))

    def nothing(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    run(check("https://hooks.example/x", Targets(lookup=nothing)))


def test_a_name_server_that_changes_its_answer_gains_nothing():
    async def rebind(port):
        targets = Targets(lookup=found("8.8.8.8", "127.0.0.1"))
        url = f"http://hooks.example:{port}/hook"
        await targets.check(url, False)
        return await send(url, targets)

    with receiving() as receiver:
        answer = run(rebind(receiver.port))
        assert receiver.received == []
    assert answer.status is None
    assert "not public" in answer.error


def test_a_connection_goes_to_the_address_that_was_checked_by_one_look_up():
    asked = []

    def lookup(host, port):
        asked.append(host)
        return found("127.0.0.1")(host, port)

    with receiving() as receiver:
        targets = Targets(allowed=["127.0.0.0/8"], lookup=lookup)
        answer = run(send(f"http://hooks.example:{receiver.port}/hook", targets))
        assert answer.is_good
        assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert asked == ["hooks.example"]


def test_the_machines_own_public_address_is_refused(monkeypatch):
    own = {"eth0": [SimpleNamespace(family=socket.AF_INET, address="8.8.8.8")]}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: own)
    with pytest.raises(InvalidInput, match="not public"):
        run(check("http://8.8.8.8/"))
    run(check("http://8.8.4.4/"))


def test_configured_hosts_and_networks_may_be_called():
    with receiving() as receiver:
        for allowed, host in [("127.0.0.1/32", "127.0.0.1"), ("LocalHost", "localhost"), ("::1", "[::1]")]:
            run(check(f"http://{host}:{receiver.port}/", Targets(allowed=[allowed])))
        assert run(send(f"http://localhost:{receiver.port}/", Targets(allowed=["localhost"]))).is_good
        # The name is allowed, not whatever else leads to the same address.
        assert run(send(f"http://127.0.0.1:{receiver.port}/", Targets(allowed=["localhost"]))).status is None


def test_a_connection_kept_for_an_administrator_serves_nobody_else():
    async def both(url):
        targets = Targets()
        try:
            first = await post(targets.session(url, True), url, b"{}", {})
            second = await post(targets.session(url, False), url, b"{}", {})
        finally:
            await targets.close()
        return first, second

    with receiving() as receiver:
        first, second = run(both(receiver.url))
        assert first.is_good
        assert second.status is None
        assert len(receiver.received) == 1


def test_a_redirect_is_not_followed():
    with receiving() as inner:
        for status in (301, 302, 303, 307, 308):
            with receiving(lambda handler, s=status: reply(handler, s, Location=inner.url)) as outer:
                answer = run(send(outer.url, Targets(), may_be_private=True))
                assert answer.status == status
                assert not answer.is_good
        assert inner.received == []


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert run(send(receiver.url, Targets(), may_be_private=True)).is_good
        assert proxy.received == []
        assert len(receiver.received) == 1


def test_a_huge_answer_is_not_read_to_its_end():
    sent = 0

    def flood(handler):
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        while sent < 1 << 30:
            sent += handler.wfile.write(bytes(1 << 20))

    with receiving(flood) as receiver:
        answer = run(send(receiver.url, Targets(), may_be_private=True))
        assert answer.is_good
        assert answer.duration_ms < 5000
    assert sent < 64 << 20


def test_no_error_tells_the_path():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/the-secret-path"
        answer = run(send(url, Targets(), may_be_private=True))
    assert answer.error == "The receiver takes no connection."
