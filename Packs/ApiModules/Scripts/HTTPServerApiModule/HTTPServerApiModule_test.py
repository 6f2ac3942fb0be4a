"""Unit tests of HTTPServerApiModule.py, without sockets where none is needed."""

import base64
import codecs
import contextlib
import functools
import gc
import gzip
import hashlib
import hmac
import importlib.util
import io
import json
import os
import random
import re
import resource
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import demistomock as demisto
import GenericWebhook as webhook
import gevent
import gevent.event
import gevent.socket
import gevent.threadpool
import pytest
import requests
import standardwebhooks
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

class TestRefusal:
    def test_a_refusal_is_a_json_object_with_one_sentence(self) -> None:
        """
        Given: a refusal whose sentence needs escaping
        When: it is answered
        Then: its body is JSON
        """
        assert json.loads(webhook.BadRequest('say "what"').answer().content) == {"error": 'say "what"'}
        assert webhook.BadRequest("x").status == 400

    def test_unavailable_says_when_to_come_again(self) -> None:
        """
        Given: a webhook that is busy
        When: it refuses
        Then: 503 with Retry-After in whole seconds
        """
        busy = webhook.ServiceUnavailable("busy")
        assert busy.status == 503
        assert int(busy.headers["Retry-After"]) > 0


class TestClientCa:
    @pytest.fixture
    def server(self) -> tuple[str, str]:
        issued = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("webhook.example.com")
        return pem(issued.cert_chain_pems), private_key(issued)

    @pytest.mark.parametrize("kind", ["its own", "another CA's", "none"])
    def test_a_client_needs_a_certificate_of_the_bundle(self, server: tuple[str, str], kind: str) -> None:
        """
        Given: an instance with a CA bundle of two
        When: clients with its certificate, another's and none shake hands
        Then: only the first gets through
        """
        first, second, stranger = (trustme.CA(key_type=trustme.KeyType.ECDSA) for _ in range(3))
        bundle = f"# Prüfstelle\n{first.cert_pem.bytes().decode()}# twice\n{second.cert_pem.bytes().decode() * 2}"
        context = webhook.load_tls(*server, bundle)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        if kind != "none":
            (second if kind == "its own" else stranger).issue_cert("client.example.com").configure_cert(client)
        assert context is not None
        assert shakes_hands(context, client) == (kind == "its own")
        assert webhook.certificate_problem(context, server[0]) == ""

    @pytest.mark.parametrize(
        "bundle, words",
        [
            ("rubbish", "OpenSSL cannot read its certificates; paste the whole PEM text"),
            ("grüße", "OpenSSL cannot read its certificates"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "OpenSSL cannot read its certificates"),
            ("{leaf}", "one of its certificates is not that of a CA"),
            ("{ca}{leaf}", "one of its certificates is not that of a CA"),
            ("{ca}{key}", "it holds a private key"),
            ("{ca}-----BEGIN CERTIFICATE-----\nAAAA", "one of its certificates is incomplete"),
            ("{expired}", "has expired"),
        ],
    )
    def test_a_malformed_bundle_is_explained(self, server: tuple[str, str], bundle: str, words: str) -> None:
        ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        leaf = ca.issue_cert("client.example.com")
        text = (
            bundle.replace("{ca}", ca.cert_pem.bytes().decode())
            .replace("{leaf}", leaf.cert_chain_pems[0].bytes().decode())
            .replace("{key}", private_key(leaf))
            .replace("{expired}", expired_authority() if "expired" in bundle else "")
        )
        with pytest.raises(webhook.SettingError, match=r"^Client CA: ") as mistake:
            webhook.load_tls(*server, text)
        assert words in str(mistake.value)

    def test_it_needs_https(self) -> None:
        with pytest.raises(webhook.SettingError, match=r"^Client CA: clients bring certificates over HTTPS only"):
            webhook.load_tls("", "", "x")


def shakes_hands(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> bool:
    """Return whether two sides come to an end of their handshake, in memory."""
    pipes = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(pipes[0], pipes[1])
    server = ssl.SSLContext.wrap_bio(server_context, pipes[1], pipes[0], server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return False
    return True


def expired_authority() -> str:
    """Return the certificate of a CA whose time is over."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old.example.com")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=9)).not_valid_after(now - timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


# ---- certificate and private key


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def pem(chain: list[trustme.Blob]) -> str:
    return "\n".join(blob.bytes().decode() for blob in chain)


def private_key(certificate: trustme.LeafCert) -> str:
    return certificate.private_key_pem.bytes().decode()


def encrypted(key: str, kind: serialization.PrivateFormat) -> str:
    loaded = serialization.load_pem_private_key(key.encode(), None)
    return loaded.private_bytes(serialization.Encoding.PEM, kind, serialization.BestAvailableEncryption(b"passphrase")).decode()


def certificate_of(usage: x509.ObjectIdentifier, curve: ec.EllipticCurve) -> tuple[str, str]:
    """Return a certificate that is valid for something, its key on a curve, and the key."""
    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.com")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=365))
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    return built.public_bytes(serialization.Encoding.PEM).decode(), text


class TestCertificate:
    def test_without_both_there_is_no_https(self) -> None:
        """
        Given: neither certificate nor key
        When: TLS is loaded
        Then: there is none
        """
        assert webhook.load_tls("", "") is None

    @pytest.mark.parametrize("kind", [trustme.KeyType.ECDSA, trustme.KeyType.RSA])
    def test_a_pair_that_belongs_together_loads(self, authority: trustme.CA, kind: trustme.KeyType) -> None:
        """
        Given: a certificate with an intermediate one, and its key
        When: TLS is loaded
        Then: it is TLS 1.2 and up, and nothing is wrong with the certificate's dates
        """
        certificate = authority.create_child_ca().issue_cert("example.com", key_type=kind)
        chain = pem(certificate.cert_chain_pems)
        context = webhook.load_tls(chain, private_key(certificate))
        assert context is not None
        assert context.minimum_version == webhook.ssl.TLSVersion.TLSv1_2
        assert webhook.certificate_problem(context, chain) == ""

    def test_the_key_is_on_disk_only_while_it_is_loaded(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a folder for temporary files
        When: TLS is loaded
        Then: the key was in it, for this user only, and is gone
        """
        seen: list[tuple[int, str]] = []
        real = webhook.gevent_ssl.SSLContext.load_cert_chain

        def spy(self: Any, certfile: Any, keyfile: Any, password: Any) -> None:
            seen.append((Path(keyfile).parent.stat().st_mode & 0o777, Path(keyfile).read_text()))
            assert tmp_path in Path(keyfile).parents
            real(self, certfile, keyfile, password)

        monkeypatch.setattr(webhook.tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(webhook.gevent_ssl.SSLContext, "load_cert_chain", spy)
        certificate = authority.issue_cert("example.com")
        webhook.load_tls(pem(certificate.cert_chain_pems), private_key(certificate))
        assert [mode for mode, _ in seen] == [0o700]
        assert "PRIVATE KEY" in seen[0][1]
        assert list(tmp_path.iterdir()) == []

    @pytest.fixture(scope="class")
    @staticmethod
    def broken(authority: trustme.CA) -> dict[str, tuple[str, str]]:
        """Return pairs of certificate and key that cannot be used, by what is wrong with them."""
        certificate, other = authority.issue_cert("example.com"), authority.issue_cert("example.org")
        text, key = pem(certificate.cert_chain_pems), private_key(certificate)
        lines = text.splitlines()
        return {
            "no key": (text, ""),
            "no certificate": ("", key),
            "swapped": (key, text),
            "certificate twice": (text, text),
            "certificate not PEM": ("MIIB...", key),
            "key not PEM": (text, "MIIE..."),
            "encrypted key": (text, encrypted(key, serialization.PrivateFormat.PKCS8)),
            "encrypted key of the old form": (text, encrypted(key, serialization.PrivateFormat.TraditionalOpenSSL)),
            "not belonging": (text, private_key(other)),
            "half": ("\n".join(lines[: len(lines) // 2]), key),
            "half a key": (text, key[: len(key) // 2]),
            "damaged": (text.replace(lines[3], "!" * 64), key),
            "damaged key": (text, key.replace(key.splitlines()[1], "A" * 64)),
        }

    @pytest.mark.parametrize(
        "what, parameter, mend",
        [
            ("no key", "Private Key", "paste the private key too"),
            ("no certificate", "Certificate", "paste the certificate too"),
            ("swapped", "Certificate", "-----BEGIN CERTIFICATE-----"),
            ("certificate twice", "Private Key", "PRIVATE KEY-----"),
            ("certificate not PEM", "Certificate", "-----BEGIN CERTIFICATE-----"),
            ("key not PEM", "Private Key", "PRIVATE KEY-----"),
            ("encrypted key", "Private Key", "paste it without one (openssl pkey"),
            ("encrypted key of the old form", "Private Key", "paste it without one (openssl pkey"),
            ("not belonging", "Private Key", "does not belong to the certificate"),
            ("half", "Certificate", "paste"),
            ("half a key", "Private Key", "paste"),
            ("damaged", "Certificate", "paste"),
            ("damaged key", "Private Key", "paste"),
        ],
    )
    def test_the_test_button_names_the_parameter_and_the_mend(
        self, broken: dict[str, tuple[str, str]], what: str, parameter: str, mend: str
    ) -> None:
        """
        Given: a certificate and a key that cannot be used
        When: the user clicks Test
        Then: the error names the parameter at fault and says how to mend it, and holds nothing of the key
        """
        certificate, key = broken[what]
        with pytest.raises(ValueError) as error:
            webhook.test_module(settings(certificate=certificate, key=key))
        assert str(error.value).startswith(f"{parameter}: ")
        assert mend in str(error.value)
        assert not any(line in str(error.value) for line in key.splitlines() if len(line) > 40)

    def test_a_full_disk_is_said(self, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Given: a container without room for a temporary file
        When: TLS is loaded
        Then: the error says so
        """

        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(webhook.tempfile, "mkdtemp", full)
        certificate = authority.issue_cert("example.com")
        with pytest.raises(webhook.SettingError, match=r"No space left on device.*free disk space"):
            webhook.load_tls(pem(certificate.cert_chain_pems), private_key(certificate))

    @pytest.mark.parametrize(
        "starts, ends, words",
        [
            (-100, -1, "it has expired"),
            (1, 100, "it is not valid yet"),
            (-100, 10.5, "it expires in 10 days"),
            (-100, 0.5, "it expires in 0 days"),
            (-100, 15, ""),
        ],
    )
    def test_a_certificate_s_dates_are_looked_at(self, authority: trustme.CA, starts: float, ends: float, words: str) -> None:
        """
        Given: a certificate that is expired, not valid yet, soon to expire, or good
        When: the user clicks Test
        Then: it says so
        """
        now = datetime.now(UTC).replace(tzinfo=None)
        certificate = authority.issue_cert(
            "example.com", not_before=now + timedelta(days=starts), not_after=now + timedelta(days=ends)
        )
        tested = settings(certificate=pem(certificate.cert_chain_pems), key=private_key(certificate))
        if not words:
            assert webhook.test_module(tested) == "ok"
            return
        with pytest.raises(ValueError, match=f"^Certificate: {words}; paste a "):
            webhook.test_module(tested)

    def test_other_doubts_about_a_certificate_are_not_ours(self) -> None:
        """
        Given: a certificate for clients only, which a strict sender refuses for another reason than its dates
        When: its dates are looked at
        Then: nothing is said about them
        """
        certificate, key = certificate_of(ExtendedKeyUsageOID.CLIENT_AUTH, ec.SECP256R1())
        context = webhook.load_tls(certificate, key)
        assert context is not None
        assert webhook.certificate_problem(context, certificate) == ""

    def test_a_key_no_client_can_use_is_told(self) -> None:
        """
        Given: a certificate whose key is on a curve of no TLS client
        When: it is looked at
        Then: the sentence says what to use, and nothing is raised
        """
        certificate, key = certificate_of(ExtendedKeyUsageOID.SERVER_AUTH, ec.SECP256K1())
        context = webhook.load_tls(certificate, key)
        assert context is not None
        assert webhook.certificate_problem(context, certificate) == (
            "Certificate: no common client can shake hands with it; use an RSA key or one on the curve P-256."
        )


# ---- HTTP: raw bytes and what becomes of them


class FakeSocket:
    """A sender's bytes, given out in small pieces, and what it is sent."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._pieces = [data[place : place + piece] for place in range(0, len(data), piece)]
        self._read_event = None
        self.sent = b""

    def _wait(self, _: Any) -> None:
        """Wait for bytes, which are here already."""

    def recv(self, most: int) -> bytes:
        if not self._pieces:
            return b""
        given, rest = self._pieces[0][:most], self._pieces[0][most:]
        self._pieces[:1] = [rest] if rest else []
        return given

    def sendall(self, data: bytes) -> None:
        self.sent += data


def verdict(raw: bytes, piece: int = 7) -> tuple[int, bytes, bytes]:
    """Return what a request is answered (200: it is taken), its body, and the bytes behind it."""
    counters = webhook.Counters()
    server = SimpleNamespace(
        connections=webhook.ConnectionRegistry(counters),
        known_heads=webhook.KnownHeads(),
        memory=webhook.BodyMemory(),
        counters=counters,
    )
    connection = webhook.Connection(FakeSocket(raw, piece), "192.0.2.1", server)  # type: ignore[arg-type]
    connection.reader = webhook.Reader(connection.sock)
    assert server.connections.open(connection)
    try:
        if not connection.reader.wait():
            return 0, b"", b""
        body = connection._read_request().read_body()
    except webhook.HTTPError as error:
        return error.status, b"", b""
    return 200, body, connection.reader.exactly(10_000)


def get(*lines: bytes) -> bytes:
    return b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines, b"", b""])


def sized(length: bytes, body: bytes = b"{}") -> bytes:
    return get(b"Content-Length: " + length) + body


def chunked(body: bytes, coding: bytes = b"Transfer-Encoding: chunked") -> bytes:
    return get(coding) + body


# Each row: where the rule stands, the bytes, and the verdict: a status, or the body where the request is taken.
RAW: list[tuple[str, bytes, int | bytes]] = [
    # RFC 9112, 3: the request line
    *(("3", line + b"\r\nHost: a\r\n\r\n", b"") for line in (b"GET / HTTP/1.1", b"post /a?b=c HTTP/1.1", b"BREW /%00 HTTP/1.9")),
    *(
        ("3.2.2", b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"")
        for target in (b"http://h/p", b"HTTPS://h", b"/\xe4?\xf6")
    ),
    *(
        ("3", line + b"\r\nHost: a\r\n\r\n", 400)
        for line in (
            *(
                b"GET  / HTTP/1.1",
                b" GET / HTTP/1.1",
                b"GET / HTTP/1.1 ",
                b"GET /  HTTP/1.1",
                b"GET\t/ HTTP/1.1",
                b"GET / HTTP/2.0",
            ),
            *(
                b"GET / HTTP/1.10",
                b"GET / HTTP/1,1",
                b"GET / http/1.1",
                b"GET / HTTP/ 1.1",
                b"GET /",
                b"GET",
                b"GET / HTTP/0.9",
                b"GET / HTTPS/1.1",
            ),
            *(
                b"GET /a b HTTP/1.1",
                b"GET / FTP/1.1 HTTP/1.1",
                b"GET * HTTP/1.1",
                b"GET a HTTP/1.1",
                b"GET ftp://h/ HTTP/1.1",
                b"CONNECT h:1 HTTP/1.1",
            ),
        )
    ),
    *(
        ("9110 5.6.2", b"G" + bytes([byte]) + b"T / HTTP/1.1\r\nHost: a\r\n\r\n", 400)
        for byte in b'\0\x1f"(),/:;<=>?@[]{}\x7f\xff'
    ),
    ("3", b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("2.2", b"\r\n" + get(), b""),
    ("2.2", b"\r\n\r\n" + get(), 400),
    ("2.2", get().replace(b"\r\n", b"\n"), 400),
    ("2.2", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("2.2", b"GET / HTTP/1.1\r\nHost: a\rb: c\r\n\r\n", 400),
    # RFC 9112, 3.2: Host
    ("3.2", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("3.2", b"GET / HTTP/1.0\r\n\r\n", b""),
    ("3.2", get(b"Host: b"), 400),
    ("3.2", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", b""),
    # RFC 9112, 5: headers
    *(
        ("5", get(line), b"")
        for line in (b"X:", b"X: ", b"X:a", b"X: \ta\t ", b"X: a\x80\xff", b"!#$%&'*+-.^_`|~: a", b"X: a: b", b"A: 1\r\na: 2")
    ),
    *(
        ("5", get(line), 400)
        for line in (b"X", b"X a", b": a", b" : a", b"X : a", b"X\t: a", b"X\xff: a", b"(X): a", b"X: a\0b", b"\xa0X: a")
    ),
    *(("5.5", get(b"X: a" + bytes([byte]) + b"b"), 400) for byte in (*range(9), *range(11, 13), *range(14, 32), 127)),
    *(("5.2", get(b"X: a", fold), 400) for fold in (b" b", b"\tb", b" ", b" Content-Length: 1")),
    ("5", get(*(b"X: a" for _ in range(120))), 431),
    ("5", get(b"X: " + b"a" * 40_000), 431),
    ("5", get()[:-2], 400),
    # RFC 9112, 6: where the body ends
    *(("6.2", sized(length), b"{}") for length in (b"2", b"02", b"0002", b" 2 ", b"\t2")),
    ("6.2", sized(b"0", b""), b""),
    ("6.3", get() + b"not mine", b""),
    ("6.2", sized(b"2", b"{}GET"), b"{}"),
    ("6.2", sized(b"3"), 400),
    *(
        ("6.2", sized(length), 400)
        for length in (b"", b"+2", b"-2", b"2.0", b"0x2", b"2,2", b"2, 2", b"2 2", b"\xb2", b"1_0", b"two", b"9" * 16)
    ),
    ("6.2", sized(b"26214401", b""), 413),
    ("6.2", get(b"Content-Length: 2", b"Content-Length: 2") + b"{}", 400),
    ("6.2", get(b"Content-Length: 2", b"content-length: 3") + b"{}", 400),
    ("6.1", get(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    ("6.1", get(b"Transfer-Encoding: chunked", b"Content-Length: 2") + b"0\r\n\r\n", 400),
    ("6.1", chunked(b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    *(
        ("6.1", chunked(b"0\r\n\r\n", b"Transfer-Encoding: " + coding), 400)
        for coding in (
            b"",
            b"gzip",
            b"identity",
            b"gzip, chunked",
            b"chunked, gzip",
            b"chunked, chunked",
            b"xchunked",
            b"chunkedx",
            b"chunked;q=1",
            b'"chunked"',
        )
    ),
    ("6.1", chunked(b"0\r\n\r\n", b"transfer-encoding:  CHUNKED "), b""),
    ("6.1", get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    # RFC 9112, 7.1: chunks
    *(
        ("7.1", chunked(body), b"{}")
        for body in (
            *(
                b"2\r\n{}\r\n0\r\n\r\n",
                b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
                b"02\r\n{}\r\n00\r\n\r\n",
                b"2;a=b\r\n{}\r\n0;c\r\n\r\n",
            ),
            *(b'2 ; a="b;c"\r\n{}\r\n0\r\n\r\n', b"2\r\n{}\r\n0\r\nX: trailer\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\nnext"),
        )
    ),
    ("7.1", chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), b"0123456789" * 2),
    *(
        ("7.1", chunked(size + b"\r\n{}\r\n0\r\n\r\n"), 400)
        for size in (
            *(
                b"2 ",
                b"2\t",
                b" 2",
                b"2;",
                b"2; ",
                b"2;=b",
                b"2;\x01",
                b"+2",
                b"-2",
                b"0x2",
                b"2h",
                b"",
                b"\xb2",
                b"2,2",
                b"2.0",
                b"2_0",
            ),
            *(b"2;" + b"a" * 1100, b"000000002", b"2 2", b'2;"a"', b"2;;a"),
        )
    ),
    *(
        ("7.1", chunked(body), 400)
        for body in (
            *(
                b"2\n{}\r\n0\r\n\r\n",
                b"2\r\n{}\n0\r\n\r\n",
                b"2\r\n{}0\r\n\r\n",
                b"3\r\n{}\r\n0\r\n\r\n",
                b"1\r\n{}\r\n0\r\n\r\n",
            ),
            *(
                b"2\r\n{}\r\n",
                b"2\r\n{}",
                b"2",
                b"",
                b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n",
                b"2\r\n{}\r\n0\r\n",
                b"2\r\n{}\r\n0\r\n X: folded\r\n\r\n",
            ),
        )
    ),
    ("7.1", chunked(b"1900001\r\n"), 413),
    ("7.1", chunked(b"ffffffff\r\n"), 413),
    # what is no HTTP at all
    ("2", b"\x16\x03\x01\x02\x00\x01\x00\n\r\n\r\n", 400),
    ("2", b"\x00" * 9000, 414),
    ("2", b"", 0),
]


class TestRawRequests:
    def test_there_are_enough(self) -> None:
        assert len(RAW) >= 150

    @pytest.mark.parametrize(("rule", "raw", "wanted"), RAW, ids=[f"{number}-{rule}" for number, (rule, *_) in enumerate(RAW)])
    def test_a_request_is_taken_whole_or_refused(self, rule: str, raw: bytes, wanted: int | bytes) -> None:
        status, body, rest = verdict(raw)
        if isinstance(wanted, int):
            assert status == wanted
        else:
            assert (status, body) == (200, wanted)
            assert raw.endswith(rest)
        assert verdict(raw, 100_000)[:2] == (status, body)  # however it is cut on its way

    def test_a_known_head_is_told_apart_by_all_but_its_length(self) -> None:
        heads = webhook.KnownHeads()
        first, second = (webhook.KnownHeads.key(get(b"Content-Length: " + digits, b"X: 1")) for digits in (b"2", b"30"))
        assert (first[0] == second[0], first[1], second[1]) == (True, b"2", b"30")
        assert webhook.KnownHeads.key(get(b"Content-Length: 2", b"X: 2"))[0] != first[0]
        assert webhook.KnownHeads.key(get(b"Content-Length: ", b"X: 1"))[0] != first[0]
        assert webhook.KnownHeads.key(get(b"X-Content-Length: 2", b"X: 1"))[1] == b""
        for number in range(300):
            key = webhook.KnownHeads.key(get(b"X: %d" % number))[0]
            heads.add(key, webhook.parse_head(get(b"X: %d" % number)[:-2].decode()))
            assert heads.get(key) is not None
        assert heads.get(webhook.KnownHeads.key(get(b"X: 10"))[0]) is None  # 256 are kept
        long = webhook.KnownHeads.key(get(b"X: " + b"a" * 3000))[0]
        heads.add(long, webhook.parse_head(get()[:-2].decode()))
        assert heads.get(long) is None

    def test_the_date_is_right_though_the_clock_jumps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        server = webhook.Server(
            ("127.0.0.1", 0), lambda _: None, webhook.ConnectionRegistry(webhook.Counters()), webhook.Counters(), print
        )
        clock = [1_700_000_000.5, 100.0]
        monkeypatch.setattr(time, "time", lambda: clock[0])
        monkeypatch.setattr(time, "monotonic", lambda: clock[1])
        assert "22:13:20" in server.date_header()
        clock[:] = [1_600_000_000.0, 101.0]  # back by three years, a second later
        assert "Sun, 13 Sep 2020" in server.date_header()


