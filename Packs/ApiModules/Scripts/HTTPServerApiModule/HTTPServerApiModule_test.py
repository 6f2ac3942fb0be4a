"""Unit tests of HTTPServerApiModule.py, over sockets of this process where one is needed."""

import contextlib
import gc
import json
import re
import resource
import select
import socket
import ssl
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.event
import gevent.socket
import HTTPServerApiModule as server
import MetricsApiModule as metrics
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from Tests.costs import assert_linear, compiled_patterns

MIB = 1024**2


class TestRefusal:
    def test_a_refusal_is_a_json_object_with_one_sentence(self) -> None:
        """
        Given: a refusal whose sentence needs escaping
        When: it is answered
        Then: its body is JSON
        """
        answer = server.BadRequest('say "what"').answer()
        assert json.loads(answer.content) == {"error": 'say "what"'}
        assert server.BadRequest("x").status == 400

    def test_unavailable_says_when_to_try_again(self) -> None:
        """
        Given: a server that is busy
        When: it refuses
        Then: 503 with Retry-After in whole seconds
        """
        busy = server.ServiceUnavailable("busy")
        assert busy.status == 503
        assert int(busy.headers["Retry-After"]) > 0


# ---- certificates


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def pem(chain: list[trustme.Blob]) -> str:
    return "\n".join(blob.bytes().decode() for blob in chain)


def private_key(certificate: trustme.LeafCert) -> str:
    return certificate.private_key_pem.bytes().decode()


def encrypted(key: str, kind: serialization.PrivateFormat) -> str:
    loaded = serialization.load_pem_private_key(key.encode(), None)
    passphrase = serialization.BestAvailableEncryption(b"passphrase")
    return loaded.private_bytes(serialization.Encoding.PEM, kind, passphrase).decode()


def dated(begins: datetime, ends: datetime, is_ca: bool = False) -> str:
    """Return a certificate that is valid between two times."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.com")])
    number = x509.random_serial_number()
    builder = x509.CertificateBuilder(name, name, key.public_key(), number)
    builder = builder.not_valid_before(begins).not_valid_after(ends)
    constraints = x509.BasicConstraints(ca=is_ca, path_length=None)
    built = builder.add_extension(constraints, critical=True).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.PEM).decode()


def shakes_hands(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> bool:
    """Return whether two sides finish their handshake, in memory."""
    pipes = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(pipes[0], pipes[1])
    ours = ssl.SSLContext.wrap_bio(server_context, pipes[1], pipes[0], server_side=True)
    for side in (client, ours, client, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return False
    return True


def untrusting() -> ssl.SSLContext:
    """Return a client's context that trusts any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class TestClientCa:
    @pytest.fixture
    def pair(self) -> tuple[str, str]:
        issued = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("webhook.example.com")
        return pem(issued.cert_chain_pems), private_key(issued)

    @pytest.mark.parametrize("kind", ["its own", "another CA's", "none"])
    def test_a_client_needs_a_certificate_of_the_bundle(
        self, pair: tuple[str, str], kind: str
    ) -> None:
        """
        Given: a server with a bundle of two CAs
        When: clients with its certificate, another's and none shake hands
        Then: only the first gets through
        """
        first, second, stranger = (trustme.CA(key_type=trustme.KeyType.ECDSA) for _ in range(3))
        one, two = (ca.cert_pem.bytes().decode() for ca in (first, second))
        context = server.load_tls(*pair, f"# Prüfstelle\n{one}# twice\n{two * 2}")
        client = untrusting()
        if kind != "none":
            issuer = second if kind == "its own" else stranger
            issuer.issue_cert("client.example.com").configure_cert(client)
        assert context is not None
        assert shakes_hands(context, client) == (kind == "its own")

    @pytest.mark.parametrize(
        "bundle, words",
        [
            ("rubbish", "OpenSSL cannot read its certificates; paste the whole PEM text"),
            ("grüße", "OpenSSL cannot read its certificates"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
                "OpenSSL cannot read its certificates",
            ),
            ("{leaf}", "one of its certificates is not a CA's"),
            ("{ca}{leaf}", "one of its certificates is not a CA's"),
            ("{ca}{key}", "it holds a private key"),
            ("{ca}-----BEGIN CERTIFICATE-----\nAAAA", "one of its certificates is incomplete"),
            ("{expired}", "has expired"),
        ],
    )
    def test_a_malformed_bundle_is_explained(
        self, pair: tuple[str, str], bundle: str, words: str
    ) -> None:
        """
        Given: a text that is not a bundle of CA certificates
        When: TLS is loaded
        Then: the error says what is wrong with it
        """
        ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        leaf = ca.issue_cert("client.example.com")
        now = datetime.now(UTC)
        texts = {
            "{ca}": ca.cert_pem.bytes().decode(),
            "{leaf}": leaf.cert_chain_pems[0].bytes().decode(),
            "{key}": private_key(leaf),
            "{expired}": dated(now - timedelta(days=9), now - timedelta(days=1), is_ca=True),
        }
        for name, text in texts.items():
            bundle = bundle.replace(name, text)
        with pytest.raises(server.CertificateError, match=r"^Client CA: ") as mistake:
            server.load_tls(*pair, bundle)
        assert mistake.value.field == "Client CA"
        assert words in mistake.value.fix

    def test_it_needs_https(self) -> None:
        """
        Given: a bundle without a certificate and a key
        When: TLS is loaded
        Then: the error says that client certificates need HTTPS
        """
        with pytest.raises(server.CertificateError, match=r"^Client CA: clients present .* HTTPS"):
            server.load_tls("", "", "x")


class TestCertificate:
    def test_without_both_there_is_no_https(self) -> None:
        """
        Given: neither certificate nor key
        When: TLS is loaded
        Then: there is none
        """
        assert server.load_tls("", "") is None

    @pytest.mark.parametrize("kind", [trustme.KeyType.ECDSA, trustme.KeyType.RSA])
    def test_a_pair_that_belongs_together_loads(
        self, authority: trustme.CA, kind: trustme.KeyType
    ) -> None:
        """
        Given: a certificate with an intermediate one, and its key
        When: TLS is loaded
        Then: it is TLS 1.2 and up, and nothing is wrong with the certificate's dates
        """
        certificate = authority.create_child_ca().issue_cert("example.com", key_type=kind)
        chain = pem(certificate.cert_chain_pems)
        context = server.load_tls(f"# Prüfstelle\n{chain}", private_key(certificate))
        assert context is not None
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert shakes_hands(context, untrusting())
        assert server.certificate_problem(chain) == ""

    def test_the_key_is_on_disk_only_while_it_is_loaded(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a folder for temporary files
        When: TLS is loaded
        Then: the key was in it, for this user only, and is gone
        """
        seen: list[tuple[int, str]] = []
        real = server.gevent_ssl.SSLContext.load_cert_chain

        def spy(self: Any, certfile: Any, keyfile: Any, password: Any) -> None:
            seen.append((Path(keyfile).parent.stat().st_mode & 0o777, Path(keyfile).read_text()))
            assert tmp_path in Path(keyfile).parents
            real(self, certfile, keyfile, password)

        monkeypatch.setattr(server.tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(server.gevent_ssl.SSLContext, "load_cert_chain", spy)
        certificate = authority.issue_cert("example.com")
        server.load_tls(pem(certificate.cert_chain_pems), private_key(certificate))
        assert [mode for mode, _ in seen] == [0o700]
        assert "PRIVATE KEY" in seen[0][1]
        assert list(tmp_path.iterdir()) == []

    @pytest.fixture(scope="class")
    @staticmethod
    def broken(authority: trustme.CA) -> dict[str, tuple[str, str]]:
        """Return pairs of certificate and key that cannot be used, by what is wrong with them."""
        certificate = authority.issue_cert("example.com")
        other = authority.issue_cert("example.org")
        text, key = pem(certificate.cert_chain_pems), private_key(certificate)
        old_form = serialization.PrivateFormat.TraditionalOpenSSL
        lines = text.splitlines()
        return {
            "no key": (text, ""),
            "no certificate": ("", key),
            "swapped": (key, text),
            "certificate twice": (text, text),
            "certificate not PEM": ("MIIB...", key),
            "key not PEM": (text, "MIIE..."),
            "encrypted key": (text, encrypted(key, serialization.PrivateFormat.PKCS8)),
            "encrypted key of the old form": (text, encrypted(key, old_form)),
            "not belonging": (text, private_key(other)),
            "half": ("\n".join(lines[: len(lines) // 2]), key),
            "half a key": (text, key[: len(key) // 2]),
            "damaged": (text.replace(lines[3], "!" * 64), key),
            "damaged key": (text, key.replace(key.splitlines()[1], "A" * 64)),
        }

    @pytest.mark.parametrize(
        "what, field, fix",
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
    def test_the_error_names_the_field_and_the_fix(
        self, broken: dict[str, tuple[str, str]], what: str, field: str, fix: str
    ) -> None:
        """
        Given: a certificate and a key that cannot be used
        When: TLS is loaded
        Then: the error names the field at fault and how to fix it, and holds nothing of the key
        """
        certificate, key = broken[what]
        with pytest.raises(server.CertificateError) as error:
            server.load_tls(certificate, key)
        assert error.value.field == field
        assert str(error.value).startswith(f"{field}: ")
        assert fix in error.value.fix
        assert not any(line in str(error.value) for line in key.splitlines() if len(line) > 40)

    def test_a_full_disk_is_reported(
        self, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a container without room for a temporary file
        When: TLS is loaded
        Then: the error says so
        """

        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(server.tempfile, "mkdtemp", full)
        certificate = authority.issue_cert("example.com")
        with pytest.raises(server.CertificateError, match=r"No space left.*free disk space"):
            server.load_tls(pem(certificate.cert_chain_pems), private_key(certificate))


YEAR_2060 = datetime(2060, 1, 1, tzinfo=UTC)  # from 2050 on, times are GeneralizedTime


class TestCertificateDates:
    @pytest.mark.parametrize(
        "begins, ends, words",
        [
            (-100, -1, "it has expired"),
            (1, 100, "it is not valid yet"),
            (-100, 10.5, "it expires in 10 days"),
            (-100, 0.5, "it expires in 0 days"),
            (-100, 13.9, "it expires in 13 days"),
            (-100, 15, ""),
        ],
    )
    def test_dates_are_looked_at(self, begins: float, ends: float, words: str) -> None:
        """
        Given: a certificate that is expired, not valid yet, soon to expire, or good
        When: its dates are looked at
        Then: the problem says so
        """
        now = datetime.now(UTC)
        text = dated(now + timedelta(days=begins), now + timedelta(days=ends))
        problem = server.certificate_problem(text)
        assert problem == "" if not words else problem.startswith(f"Certificate: {words}; paste a ")

    @pytest.mark.parametrize(
        "begins, ends, words",
        [
            (datetime(1951, 2, 3, tzinfo=UTC), datetime(1999, 12, 31, tzinfo=UTC), "has expired"),
            (datetime(2000, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC), ""),
            (datetime(2000, 1, 1, tzinfo=UTC), YEAR_2060, ""),
            (datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), ""),
            (YEAR_2060, datetime(2070, 1, 1, tzinfo=UTC), "not valid yet"),
        ],
    )
    def test_both_forms_of_a_time_are_read(
        self, begins: datetime, ends: datetime, words: str
    ) -> None:
        """
        Given: certificates with UTCTime, GeneralizedTime and both of them
        When: their dates are looked at
        Then: the century is right
        """
        problem = server.certificate_problem(dated(begins, ends))
        assert words in problem if words else problem == ""

    def test_the_first_certificate_counts(self) -> None:
        """
        Given: texts with several certificates, and with text before and between them
        When: the dates are looked at
        Then: those of the first one count, which is the server's own
        """
        now = datetime.now(UTC)
        good = dated(now - timedelta(days=9), now + timedelta(days=99))
        old = dated(now - timedelta(days=9), now - timedelta(days=1))
        header = "Bag Attributes\n    friendlyName: Prüfstelle\nsubject=CN = example.com\n"
        for text in (good + old, header + good + header + old, good.replace("\n", "\r\n") + old):
            assert server.certificate_problem(text) == ""
        for text in (old + good, header + old + header + good, old.replace("\n", "\r\n")):
            assert "it has expired" in server.certificate_problem(text)

    @pytest.mark.parametrize("text", ["", "rubbish", "{begin}\nAAA\n{end}", "{begin}", "{month}"])
    def test_what_has_no_dates_has_no_problem_with_them(self, text: str) -> None:
        """
        Given: a text that holds no certificate, half of one, or a thirteenth month
        When: its dates are looked at
        Then: nothing is raised: OpenSSL has its say when TLS is loaded
        """
        der = b"\x30\x1e\x17\x0d261301000000Z\x17\x0d261401000000Z"
        text = text.replace("{month}", ssl.DER_cert_to_PEM_cert(der))
        text = text.replace("{begin}", server.BEGIN_CERTIFICATE)
        assert server.certificate_problem(text.replace("{end}", server.END_CERTIFICATE)) == ""


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
    counters = metrics.Counters()
    shared = SimpleNamespace(
        connections=server.ConnectionRegistry(counters),
        known_heads=server.KnownHeads(),
        memory=server.BodyMemory(),
        counters=counters,
    )
    sock: Any = FakeSocket(raw, piece)
    connection = server.Connection(sock, "192.0.2.1", shared)  # type: ignore[arg-type]
    connection.reader = server.Reader(connection.sock)
    assert shared.connections.open(connection)
    try:
        if not connection.reader.wait():
            return 0, b"", b""
        body = connection._read_request().read_body()
    except server.HTTPError as error:
        return error.status, b"", b""
    return 200, body, connection.reader.exactly(10_000)


def get(*lines: bytes) -> bytes:
    return b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines, b"", b""])


def sized(length: bytes, body: bytes = b"{}") -> bytes:
    return get(b"Content-Length: " + length) + body


def chunked(body: bytes, coding: bytes = b"Transfer-Encoding: chunked") -> bytes:
    return get(coding) + body


# Each row: where the rule stands, the bytes, and the verdict: a status, or the body of a request
# that is taken.
# fmt: off
RAW: list[tuple[str, bytes, int | bytes]] = [
    # RFC 9112, 3: the request line
    *(("3", line + b"\r\nHost: a\r\n\r\n", b"") for line in (
        b"GET / HTTP/1.1", b"post /a?b=c HTTP/1.1", b"BREW /%00 HTTP/1.9",
        b"GET /a%0Ab?%0A HTTP/1.1",
    )),
    *(("3.2.2", b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"") for target in (
        b"http://h/p", b"HTTPS://h", b"/\xe4?\xf6",
    )),
    *(("3", line + b"\r\nHost: a\r\n\r\n", 400) for line in (
        b"GET  / HTTP/1.1", b" GET / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET /  HTTP/1.1",
        b"GET\t/ HTTP/1.1", b"GET / HTTP/2.0", b"GET / HTTP/1.10", b"GET / HTTP/1,1",
        b"GET / http/1.1", b"GET / HTTP/ 1.1", b"GET /", b"GET", b"GET / HTTP/0.9",
        b"GET / HTTPS/1.1", b"GET /a b HTTP/1.1", b"GET / FTP/1.1 HTTP/1.1", b"GET * HTTP/1.1",
        b"GET a HTTP/1.1", b"GET ftp://h/ HTTP/1.1", b"CONNECT h:1 HTTP/1.1",
    )),
    *(("9110 5.6.2", b"G" + bytes([byte]) + b"T / HTTP/1.1\r\nHost: a\r\n\r\n", 400)
      for byte in b'\0\x1f"(),/:;<=>?@[]{}\x7f\xff'),
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
    *(("5", get(line), b"") for line in (
        b"X:", b"X: ", b"X:a", b"X: \ta\t ", b"X: a\x80\xff", b"!#$%&'*+-.^_`|~: a", b"X: a: b",
        b"A: 1\r\na: 2",
    )),
    *(("5", get(line), 400) for line in (
        b"X", b"X a", b": a", b" : a", b"X : a", b"X\t: a", b"X\xff: a", b"(X): a", b"X: a\0b",
        b"\xa0X: a",
    )),
    *(("5.5", get(b"X: a" + bytes([byte]) + b"b"), 400)
      for byte in (*range(9), *range(11, 13), *range(14, 32), 127)),
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
    *(("6.2", sized(length), 400) for length in (
        b"", b"+2", b"-2", b"2.0", b"0x2", b"2,2", b"2, 2", b"2 2", b"\xb2", b"1_0", b"two",
        b"9" * 16,
    )),
    ("6.2", sized(b"26214401", b""), 413),
    ("6.2", get(b"Content-Length: 2", b"Content-Length: 2") + b"{}", 400),
    ("6.2", get(b"Content-Length: 2", b"content-length: 3") + b"{}", 400),
    ("6.1", get(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    ("6.1", get(b"Transfer-Encoding: chunked", b"Content-Length: 2") + b"0\r\n\r\n", 400),
    ("6.1", chunked(b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    *(("6.1", chunked(b"0\r\n\r\n", b"Transfer-Encoding: " + coding), 400) for coding in (
        b"", b"gzip", b"identity", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked",
        b"xchunked", b"chunkedx", b"chunked;q=1", b'"chunked"',
    )),
    ("6.1", chunked(b"0\r\n\r\n", b"transfer-encoding:  CHUNKED "), b""),
    ("6.1", get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    # RFC 9112, 7.1: chunks
    *(("7.1", chunked(body), b"{}") for body in (
        b"2\r\n{}\r\n0\r\n\r\n", b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", b"02\r\n{}\r\n00\r\n\r\n",
        b"2;a=b\r\n{}\r\n0;c\r\n\r\n", b'2 ; a="b;c"\r\n{}\r\n0\r\n\r\n',
        b"2\r\n{}\r\n0\r\nX: trailer\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\nnext",
    )),
    ("7.1", chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), b"0123456789" * 2),
    *(("7.1", chunked(size + b"\r\n{}\r\n0\r\n\r\n"), 400) for size in (
        b"2 ", b"2\t", b" 2", b"2;", b"2; ", b"2;=b", b"2;\x01", b"+2", b"-2", b"0x2", b"2h", b"",
        b"\xb2", b"2,2", b"2.0", b"2_0", b"2;" + b"a" * 1100, b"000000002", b"2 2", b'2;"a"',
        b"2;;a",
    )),
    *(("7.1", chunked(body), 400) for body in (
        b"2\n{}\r\n0\r\n\r\n", b"2\r\n{}\n0\r\n\r\n", b"2\r\n{}0\r\n\r\n",
        b"3\r\n{}\r\n0\r\n\r\n", b"1\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n", b"2\r\n{}", b"2", b"",
        b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n", b"2\r\n{}\r\n0\r\n",
        b"2\r\n{}\r\n0\r\n X: folded\r\n\r\n",
    )),
    ("7.1", chunked(b"1900001\r\n"), 413),
    ("7.1", chunked(b"ffffffff\r\n"), 413),
    # what is not HTTP at all
    ("2", b"\x16\x03\x01\x02\x00\x01\x00\n\r\n\r\n", 400),
    ("2", b"\x00" * 9000, 414),
    ("2", b"", 0),
]
# fmt: on


class TestRawRequests:
    @pytest.fixture(autouse=True)
    def in_no_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "ARRIVAL_SECONDS", 0)  # for pieces that do not become one

    def test_there_are_enough(self) -> None:
        assert len(RAW) >= 150

    @pytest.mark.parametrize(
        ("rule", "raw", "wanted"),
        RAW,
        ids=[f"{number}-{rule}" for number, (rule, *_) in enumerate(RAW)],
    )
    def test_a_request_is_taken_whole_or_refused(
        self, rule: str, raw: bytes, wanted: int | bytes
    ) -> None:
        status, body, rest = verdict(raw)
        if isinstance(wanted, int):
            assert status == wanted
        else:
            assert (status, body) == (200, wanted)
            assert raw.endswith(rest)
        assert verdict(raw, 100_000)[:2] == (status, body)  # however it is cut on its way

    def test_a_known_head_is_told_apart_by_all_but_its_length(self) -> None:
        """
        Given: known heads, one of which was found last
        When: heads are looked for that differ from it in all ways, but for the last one again
        Then: only another length finds a known one, and says its digits
        """
        heads = server.KnownHeads()
        data = get(b"Content-Length: 2", b"X: 1")
        known = server.parse_head(data[:-2].decode())
        _, key, digits = heads.find(data)
        heads.add(key, known)
        assert digits == b"2"
        for length in (b"2", b"30", b"2", b"12345678"):
            found = heads.find(get(b"Content-Length: " + length, b"X: 1"))
            assert found == (known, key, length)
        for lines in (
            (b"Content-Length: 2", b"X: 2"),
            (b"Content-Length: ", b"X: 1"),
            (b"Content-Length: +2", b"X: 1"),
            (b"Content-Length: 123456789", b"X: 1"),
            (b"Content-Length: 2", b"Content-Length: 2", b"X: 1"),
            (b"X-Content-Length: 2", b"X: 1"),
            (b"Content-Length: 2", b"Y: 3", b"X: 1"),
            (b"Content-Length: 2",),
            (),
        ):
            head, other, _ = heads.find(get(*lines))
            assert (head, other == key) == (None, False)
        assert heads.find(data)[0] is known

    def test_the_last_256_heads_are_known(self) -> None:
        heads = server.KnownHeads()
        for number in range(300):
            data = get(b"X: %d" % number)
            heads.add(heads.find(data)[1], server.parse_head(data[:-2].decode()))
            assert heads.find(data)[0] is not None
        assert [heads.find(get(b"X: %d" % n))[0] is None for n in (43, 44)] == [True, False]
        long = get(b"X: " + b"a" * 3000)
        heads.add(heads.find(long)[1], server.parse_head(long[:-2].decode()))
        assert heads.find(long)[0] is None

    def test_the_date_is_right_though_the_clock_jumps(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counters = metrics.Counters()
        registry = server.ConnectionRegistry(counters)
        ours = server.Server(("127.0.0.1", 0), lambda _: None, registry, counters, print)
        clock = [1_700_000_000.5, 100.0]
        monkeypatch.setattr(time, "time", lambda: clock[0])
        monkeypatch.setattr(time, "monotonic", lambda: clock[1])
        assert "22:13:20" in ours.dated_lines()[0]
        clock[:] = [1_600_000_000.0, 101.0]  # back by three years, a second later
        assert "Sun, 13 Sep 2020" in ours.dated_lines()[0]


# ---- over sockets


def echo(request: server.Request) -> server.Answer:
    """Answer with the request's method, path and body."""
    head = request.head
    content = f"{head.method} {head.path} ".encode() + request.read_body()
    return server.Answer(content=content, content_type="text/plain")


class Serving:
    """A server on a free port of 127.0.0.1, and what happens on it."""

    def __init__(self, answer: Callable[[server.Request], Any] = echo, tls: Any = None) -> None:
        self.counters = metrics.Counters()
        self.connections = server.ConnectionRegistry(self.counters)
        self.failures: list[BaseException] = []
        self.server = server.Server(
            ("127.0.0.1", 0), answer, self.connections, self.counters, self.failures.append, tls
        )

    def __enter__(self) -> "Serving":
        self.server.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.stop(timeout=0.1)

    def connect(self, data: bytes = b"") -> Any:
        """Return a new connection on which data was sent."""
        sock = gevent.socket.create_connection(self.server.address, timeout=10)
        sock.sendall(data)
        return sock

    def answers(self, data: bytes, pause: float = 0) -> bytes:
        """Send data on a connection of its own, end, and return what is answered up to the end."""
        with self.connect() as sock:
            sending = gevent.spawn(self._send, sock, data, pause)
            received = b"".join(iter(lambda: sock.recv(65_536), b""))
            sending.get(timeout=10)
            return received

    @staticmethod
    def _send(sock: Any, data: bytes, pause: float) -> None:
        with contextlib.suppress(OSError):
            for byte in [data] if not pause else [data[n : n + 1] for n in range(len(data))]:
                sock.sendall(byte)
                gevent.sleep(pause)
            sock.shutdown(socket.SHUT_WR)

    def statuses(self, data: bytes, pause: float = 0) -> list[int]:
        """Send data on a connection of its own and return the statuses of the answers."""
        return statuses_of(self.answers(data, pause))


def statuses_of(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]


def one_answer(sock: Any) -> bytes:
    """Read one answer with a Content-Length from a connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = sock.recv(65_536)
        assert part, received
        received += part
    head, _, content = received.partition(b"\r\n\r\n")
    [length] = re.findall(rb"Content-Length: (\d+)", head)
    while len(content) < int(length):
        content += sock.recv(65_536)
    return head + b"\r\n\r\n" + content


def await_that(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Let the others work until something is so."""
    with gevent.Timeout(seconds):
        while not condition():
            gevent.sleep(0.005)


def posted(
    body: bytes = b"{}", *lines: bytes, method: bytes = b"POST", version: bytes = b"1.1"
) -> bytes:
    first = method + b" / HTTP/" + version
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([first, b"Host: a", length, *lines, b"", b""]) + body


class TestServer:
    def test_a_pipeline_is_answered_in_order(self) -> None:
        with Serving() as serving:
            received = serving.answers(b"".join(posted(b"%d" % number) for number in range(50)))
        assert re.findall(rb"POST / (\d+)", received) == [b"%d" % number for number in range(50)]

    def test_a_pipeline_lets_others_have_their_turn(self) -> None:
        order: list[bytes] = []
        count = 1000 * server.REQUESTS_IN_A_ROW

        def note(request: server.Request) -> server.Answer:
            order.append(request.read_body())
            return server.Answer()

        with Serving(note) as serving:
            pipelines = [posted(name) * count for name in (b"a", b"b")]
            senders = [gevent.spawn(serving.answers, data) for data in pipelines]
            gevent.joinall(senders, timeout=120, raise_error=True)
        turns = b"".join(order)
        assert turns.count(b"a") == turns.count(b"b") == count
        assert turns.index(b"b") < turns.rindex(b"a")
        assert turns.index(b"a") < turns.rindex(b"b")

    def test_a_later_answer_precedes_the_next_request(self) -> None:
        waiting: list[server.Request] = []

        def later(request: server.Request) -> None:
            request.read_body()
            request.hold_shutdown()
            waiting.append(request)

        with Serving(later) as serving, serving.connect(posted() + b"nonsense\r\n\r\n") as sock:
            await_that(lambda: waiting)
            assert serving.connections.in_progress == 1
            assert serving.connections.counts()["working"] == 1
            gevent.sleep(0.05)
            waiting[0].reply(server.Answer(202))
            received = b"".join(iter(lambda: sock.recv(65_536), b""))
            assert statuses_of(received) == [202, 400]
            assert serving.connections.in_progress == 0

    @pytest.mark.parametrize(
        ("data", "statuses"),
        [
            (posted() + posted(), [200, 200]),
            (posted(b"{}", b"Connection: close") + posted(), [200]),
            (posted(b"{}", b"Connection: x, CLOSE") + posted(), [200]),
            (posted(b"{}", version=b"1.0") + posted(), [200]),
            (posted(b"{}", b"Connection: keep-alive", version=b"1.0") + posted(), [200, 200]),
            (posted(b"{}", b"Expect: 100-continue"), [100, 200]),
            (posted(b"", b"Expect: 100-continue"), [200]),
            (posted(b"{}", b"Expect: 100-continue", version=b"1.0"), [200]),
            (posted(b"{}") + b"GET", [200, 400]),
            (posted(b"{}")[:-1], [400]),
            (posted(b"{}") + b"\r\n", [200]),
            (posted(b"{}") + b"\r\n" + posted(), [200, 200]),
            (b"\r\n", []),
            (b"", []),
            (b"nonsense\r\n" + posted(), [400]),
        ],
    )
    def test_when_a_connection_stays_open(self, data: bytes, statuses: list[int]) -> None:
        with Serving() as serving:
            assert serving.statuses(data) == statuses
            assert serving.statuses(data, 0.0001) == statuses
            assert not serving.failures
            await_that(lambda: not any(serving.connections.counts().values()))

    def test_the_answer_to_head_has_no_content(self) -> None:
        with Serving() as serving:
            received = serving.answers(posted(b"", method=b"HEAD") + posted(b"", method=b"GET"))
        assert received.count(b"Content-Length: ") == 2
        assert received.count(b"\r\n\r\nGET / ") == 1
        assert b"HEAD /" not in received

    def test_an_answer_has_the_headers_it_was_given(self) -> None:

        def refuse(_: server.Request) -> server.Answer:
            raise server.HTTPError(401, "No.", WWW_Authenticate="Basic")

        with Serving(refuse) as serving:
            received = serving.answers(posted(b""))
        assert b"401 Unauthorized\r\n" in received
        for line in (b"WWW-Authenticate: Basic", b"Cache-Control: no-store", b"Date: "):
            assert line in received

    def test_a_failure_of_the_application_is_500_and_reported(self) -> None:

        def fail(request: server.Request) -> Any:
            request.read_body()
            return 1 / 0

        with Serving(fail) as serving:
            assert serving.statuses(posted() * 2) == [500, 500]
        assert [type(error) for error in serving.failures] == [ZeroDivisionError] * 2

    @pytest.mark.parametrize("tls", [False, True])
    def test_a_slow_reader_gets_all_of_its_answer(self, authority: trustme.CA, tls: bool) -> None:
        content = bytes(range(256)) * 4 * 8192

        def large(request: server.Request) -> server.Answer:
            request.read_body()
            return server.Answer(content=content)

        with Serving(large, context_of(authority) if tls else None) as serving:
            sock = serving.connect()
            sock = untrusting_gevent().wrap_socket(sock) if tls else sock
            with sock:
                sock.sendall(posted() + posted(b"{}", b"Connection: close"))
                await_that(lambda: serving.counters.statuses[200])
                gevent.sleep(0.05)
                received = b"".join(iter(lambda: sock.recv(100_000), b""))
        assert (len(received) // len(content), serving.counters.totals()) == (2, {})
        assert received.count(content) == 2
        assert serving.counters.statuses == {200: 2}

    def test_a_sender_that_has_gone_leaves_nothing_behind(self) -> None:
        gone = gevent.event.Event()

        def late(request: server.Request) -> server.Answer:
            request.read_body()
            request.hold_shutdown()
            gone.wait(10)
            return server.Answer(content=bytes(100_000))

        with Serving(late) as serving:
            for data in (posted(bytes(100_000)), posted(b"{}", b"Expect: 100-continue")[:-2]):
                sock = serving.connect(data)
                await_that(lambda: serving.connections.counts()["arriving"] == 0)
                linger = b"\1\0\0\0\0\0\0\0"  # closing resets
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                sock.close()
                gone.set()
                await_that(lambda: not any(serving.connections.counts().values()))
            assert serving.connections.in_progress == 0
            assert not serving.failures

    def test_a_large_body_is_read_in_parts_and_its_memory_is_released(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "MAX_BODIES_BYTES", 8 * MIB)
        body = bytes(range(250)) * 12_000
        parts = [body[place : place + 999] for place in range(0, len(body), 999)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        with Serving() as serving:
            for data in (posted(body), chunked(chunks)):
                for _ in range(5):  # more than all memory for bodies, if it were not released
                    assert serving.answers(data).endswith(body)

    def test_a_body_that_is_given_up_is_503_and_its_sender_is_not_reset(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "MAX_BODIES_BYTES", 4 * MIB)
        slow = posted(bytes(8 * MIB))
        with Serving() as serving, serving.connect(slow[:MIB]) as sock:
            await_that(lambda: serving.server.memory._totals[False] > MIB // 2)
            assert serving.statuses(posted(bytes(MIB))) == [200]
            sock.sendall(slow[MIB:])
            assert statuses_of(one_answer(sock)) == [503]

    def test_a_body_in_tiny_chunks_is_read_where_its_sender_is_authenticated(self) -> None:
        def known(request: server.Request) -> server.Answer:
            request.mark_authenticated()
            return server.Answer(content=request.read_body())

        grains = chunked(b"1\r\nx\r\n" * 2000 + b"0\r\n\r\n")
        with Serving() as serving:
            assert serving.statuses(grains) == [400]
        with Serving(known) as serving:
            assert serving.answers(grains).endswith(b"\r\n\r\n" + b"x" * 2000)

    @pytest.mark.parametrize("tls", [False, True])
    def test_an_idle_connection_is_closed_in_time(self, authority: trustme.CA, tls: bool) -> None:
        with Serving(tls=context_of(authority) if tls else None) as serving:
            sock = serving.connect()
            with untrusting_gevent().wrap_socket(sock) if tls else sock as client:
                client.sendall(posted())
                assert one_answer(client)
                assert serving.connections.counts()["idle"] == 1
                serving.connections.sweep(time.monotonic() + server.IDLE_SECONDS + 1)
                assert client.recv(1) == b""

    @pytest.mark.parametrize("tls", [False, True])
    @pytest.mark.parametrize("is_first", [True, False])
    def test_what_arrives_while_the_event_loop_is_busy_is_not_too_late(
        self, authority: trustme.CA, tls: bool, is_first: bool
    ) -> None:
        with Serving(tls=context_of(authority) if tls else None) as serving:
            sock = serving.connect()
            with untrusting_gevent().wrap_socket(sock) if tls else sock as client:
                if not is_first:
                    client.sendall(posted())
                    assert one_answer(client)
                await_that(
                    lambda: serving.connections.counts()[("idle", "arriving")[is_first]] == 1
                )
                client.sendall(posted(b"in time"))  # nobody has had a turn to read it
                serving.connections.sweep(time.monotonic() + server.IDLE_SECONDS + 1)
                assert b"in time" in one_answer(client)

    def test_small_records_of_tls_arrive_together(
        self, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pauses: list[float] = []
        sleep = gevent.sleep
        monkeypatch.setattr(gevent, "sleep", lambda seconds=0: pauses.append(seconds) or sleep(0))
        request = posted(b"x" * 500)
        with Serving(tls=context_of(authority)) as serving:
            with untrusting_gevent().wrap_socket(serving.connect()) as client:
                for place in range(len(request)):  # a record for each byte
                    client.sendall(request[place : place + 1])
                assert b"x" * 500 in one_answer(client)
        assert pauses.count(server.ARRIVAL_SECONDS) < len(request) / 30

    @pytest.mark.parametrize(
        "expired, stopping, status",
        [(False, False, 400), (True, False, 408), (False, True, 503), (True, True, 503)],
    )
    def test_an_incomplete_request_gets_its_reason(
        self, expired: bool, stopping: bool, status: int
    ) -> None:
        with Serving() as serving, serving.connect(posted()[:-1]) as sock:
            await_that(serving.connections.reading)
            serving.connections.stopping = stopping
            if expired:
                serving.connections.sweep(time.monotonic() + server.REQUEST_SECONDS + 1)
            elif stopping:
                serving.connections.end_reading()
            else:
                sock.shutdown(socket.SHUT_WR)
            assert statuses_of(one_answer(sock)) == [status]

    def test_one_connection_too_many_is_503(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "MAX_CONNECTIONS", 16)
        waiting: list[server.Request] = []

        def later(request: server.Request) -> server.Answer | None:
            if request.read_body() == b"now":
                return server.Answer()
            waiting.append(request)
            return None

        with Serving(later) as serving, contextlib.ExitStack() as stack:
            for _ in range(16):
                stack.enter_context(serving.connect(posted()))
            await_that(lambda: len(waiting) == 16)
            received = serving.answers(posted())
            assert statuses_of(received) == [503]
            assert b"Connection: close\r\n" in received
            waiting[0].reply(server.Answer())
            assert serving.statuses(posted(b"now")) == [200]
            assert serving.counters.total("connections refused") == 1

    def test_who_connects_while_the_event_loop_is_busy_waits_for_nobody_else(self) -> None:
        senders = 600
        most = int(Path("/proc/sys/net/core/somaxconn").read_text())
        if most < senders:
            pytest.skip(f"net.core.somaxconn is {most}: Linux keeps fewer connections waiting")
        with Serving() as serving, contextlib.ExitStack() as stack:
            poll = select.poll()
            for _ in range(senders):  # without a turn for the event loop, which would accept them
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(serving.server.address)
                poll.register(sock, select.POLLOUT)
            # The loopback device has made each connection by now, or dropped it.
            connected = [event for _, event in poll.poll(0) if event == select.POLLOUT]
        assert len(connected) == senders

    def test_what_is_not_tls_is_counted_and_closed(
        self, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "MAX_CONNECTIONS", 16)
        with Serving(tls=context_of(authority)) as serving:
            for data in (posted(), b"\x16\x03\x01\x02\x00\x01", b""):
                with contextlib.suppress(ConnectionResetError):
                    assert serving.answers(data) == b""
            with untrusting_gevent().wrap_socket(serving.connect()) as sock:
                sock.sendall(posted(b"{}", b"Connection: close"))
                assert one_answer(sock).endswith(b"POST / {}")
                assert sock.recv(1) == b""
            assert serving.counters.take_line() == "3 failed TLS handshakes"
            for other in (working := [connection_to(serving) for _ in range(16)]):
                serving.connections.open(other)
                serving.connections.work(other)
            with contextlib.suppress(ConnectionResetError):
                assert serving.answers(b"") == b""
            assert serving.counters.take_line() == "1 connection refused"
            for other in working:
                serving.connections.close(other)

    def test_a_refusal_over_tls_is_read_by_a_sender_that_is_still_sending(
        self, authority: trustme.CA
    ) -> None:
        with Serving(tls=context_of(authority)) as serving:
            with untrusting_gevent().wrap_socket(serving.connect()) as sock:
                head = posted(b"").replace(b"Length: 0", b"Length: %d" % (26 * MIB))
                sock.sendall(head)
                for _ in range(100):
                    sock.sendall(bytes(10_000))
                assert statuses_of(one_answer(sock)) == [413]

    def test_a_refused_sender_has_a_limited_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "DISCARD_BYTES", 200_000)
        with Serving() as serving:
            with serving.connect(b"nonsense\r\n\r\n") as sock:
                assert statuses_of(one_answer(sock)) == [400]
                with pytest.raises(OSError):
                    for _ in range(1000):
                        sock.sendall(bytes(100_000))

    def test_a_known_head_is_understood_once(self) -> None:
        seen: list[tuple[Any, int, bytes]] = []

        def note(request: server.Request) -> server.Answer:
            seen.append((request.head.notes, request.length, request.read_body()))
            request.head.notes = "seen"
            request.cache_head()
            return server.Answer()

        with Serving(note) as serving:
            assert (
                serving.statuses(posted(b"1") + posted(b"22") + posted(b"3", b"X: y")) == [200] * 3
            )
        assert seen == [(None, 1, b"1"), ("seen", 2, b"22"), (None, 1, b"3")]


def context_of(authority: trustme.CA) -> Any:
    """Return a server's TLS context."""
    certificate = authority.issue_cert("127.0.0.1")
    return server.load_tls(pem(certificate.cert_chain_pems), private_key(certificate))


def untrusting_gevent() -> Any:
    """Return a client's context for gevent's sockets that trusts any server."""
    context = server.gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


# ---- connections without a server


class Sock:
    """One end of a pair of sockets, as gevent wraps it."""

    def __init__(self) -> None:
        self._ours, self.peer = gevent.socket.socketpair()
        self._sock, self._wait, self._read_event, self.recv = (
            self._ours._sock,
            self._ours._wait,
            self._ours._read_event,
            self._ours.recv,
        )

    def fileno(self) -> int:
        return self._sock.fileno()

    def __del__(self) -> None:
        self._ours.close()
        self.peer.close()


def connection_to(shared: Any = None) -> Any:
    """Return a connection that nobody serves."""
    return server.Connection(Sock(), "192.0.2.1", shared)


class TestConnections:
    @pytest.fixture
    def counters(self) -> metrics.Counters:
        return metrics.Counters()

    @pytest.fixture
    def connections(
        self, counters: metrics.Counters, monkeypatch: pytest.MonkeyPatch
    ) -> server.ConnectionRegistry:
        """Return a registry of at most 16 connections."""
        monkeypatch.setattr(server, "MAX_CONNECTIONS", 16)
        return server.ConnectionRegistry(counters)

    def test_an_evicted_connection_gets_no_more_time(
        self, connections: server.ConnectionRegistry
    ) -> None:
        connection = connection_to()
        assert connections.open(connection)
        deadline = connection.deadline
        connections.close(connection)
        connections.work(connection)
        assert connection.deadline == deadline
        assert not connections.reading()

    def test_who_is_silent_makes_room_first(
        self, connections: server.ConnectionRegistry, counters: metrics.Counters
    ) -> None:
        ours = [connection_to() for _ in range(17)]
        for connection in ours[:16]:
            assert connections.open(connection)
        connections.work(ours[0])
        connections.idle(ours[1])
        ours[2].sock.peer.sendall(b"GET")
        assert connections.open(ours[16])
        expected = {"arriving": 14, "idle": 1, "discarding": 0, "reading": 0, "working": 1}
        assert connections.counts() == expected
        assert ours[3] not in ours[3].group  # the oldest that has sent nothing
        for connection in [*ours[4:], ours[1], ours[2]]:
            connections.work(connection)
        assert not connections.open(ours[3])
        assert counters.take_line() == "1 connection evicted, 1 connection refused"

    def test_who_has_sent_the_next_request_stays(
        self, connections: server.ConnectionRegistry
    ) -> None:
        ours = [connection_to() for _ in range(17)]
        for connection in ours[:16]:
            assert connections.open(connection)
            connections.idle(connection)
        ours[0].sock.peer.sendall(b"POST")
        assert connections.open(ours[16])
        assert ours[0] in ours[0].group
        assert ours[1] not in ours[1].group

    def test_time_is_up_in_two_steps(self, connections: server.ConnectionRegistry) -> None:
        connection = connection_to()
        connections.open(connection)
        connections.sweep(connection.deadline - 1)
        assert not connection.expired
        now = connection.deadline + 1
        connections.sweep(now)
        assert connection.expired
        connection.sock._sock.sendall(b"the answer")
        connections.sweep(now + 2)
        with pytest.raises(OSError):
            connection.sock._sock.sendall(b"too late")

    def test_beyond_so_many_refused_ones_little_is_thrown_away(
        self, connections: server.ConnectionRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "MAX_DISCARDING", 1)
        ours = [connection_to() for _ in range(2)]
        for connection in ours:
            connections.open(connection)
        assert connections.discard(ours[0]) == (64 * MIB, 10.0)
        assert connections.discard(ours[1]) == (64 * 1024, 1.0)
        assert connections.counts()["discarding"] == 1

    def test_a_stop_ends_reading_of_what_is_incomplete(
        self, connections: server.ConnectionRegistry
    ) -> None:
        ours = [connection_to() for _ in range(3)]
        for connection in ours:
            connections.open(connection)
        connections.read(ours[1])
        connections.work(ours[2])
        connections.end_reading()
        ours[2].sock.peer.sendall(b"still read")
        assert [connection.reader.exactly(3) for connection in ours] == [b"", b"", b"sti"]

    def test_the_soft_limit_of_descriptors_is_raised(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            assert server.raise_descriptor_limit(300) == 300
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300
            assert server.raise_descriptor_limit(200) == 200
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_counters_are_logged_once_and_never_lost(self, counters: metrics.Counters) -> None:
        counters.add("incidents created", 2)
        counters.answered(200)
        counters.answered(503)
        assert counters.take_line() == "1 answered 503, 2 incidents created"
        assert counters.take_line() == ""
        counters.add("incidents created")
        assert counters.total("incidents created") == 3
        assert counters.totals()["answered 503"] == counters.statuses[200] == 1


# ---- memory for bodies


class Body:
    """A request as BodyMemory sees it, a number of MiB with each call of arrive."""

    def __init__(
        self, memory: server.BodyMemory, address: str, authenticated: bool = False
    ) -> None:
        self.memory: Any = memory
        self.address, self.authenticated, self.sender = address, authenticated, ""
        self.complete, self.reserved, self.lost = False, 0, False
        self.arrived = time.monotonic()

    def arrive(self, size: int, seconds_ago: float = 0) -> "Body":
        self.memory.reserve(self, size * MIB)
        self.arrived = time.monotonic() - seconds_ago
        return self

    def give_up(self) -> None:
        self.lost = True


class TestBodyMemory:
    @pytest.fixture
    def new(self) -> Callable[..., Body]:
        memory = server.BodyMemory()
        return lambda address, authenticated=False: Body(memory, address, authenticated)

    def test_strangers_hold_half_of_it(self, new: Callable[..., Body]) -> None:
        """
        Given: strangers whose bodies fill their half
        When: one more stranger's bytes arrive, and then an authenticated sender's
        Then: the slowest stranger's body makes room, of equal ones that of who holds most
        """
        slow, large, small = new("a").arrive(25, 9), new("b").arrive(90, 2), new("c").arrive(13, 2)
        new("d").arrive(1)
        assert [body.lost for body in (slow, large, small)] == [True, False, False]
        friend = new("e", True).arrive(150)
        assert not large.lost
        friend.arrive(70)
        assert [body.lost for body in (large, small)] == [True, False]

    def test_one_sender_leaves_room_for_another(self, new: Callable[..., Body]) -> None:
        """
        Given: an authenticated sender that holds all it may
        When: more of it arrives, and then bodies of others
        Then: it is refused, and gives way to whoever holds less, but for a complete body
        """
        many = [new("a", True).arrive(32) for _ in range(7)]
        with pytest.raises(server.ServiceUnavailable):
            new("a", True).arrive(1)
        assert not any(body.lost for body in many)
        other = new("b", True).arrive(33)
        assert [body.lost for body in many].count(True) == 1
        for body in many:
            body.complete = True
        with pytest.raises(server.ServiceUnavailable):
            other.arrive(60)
        with pytest.raises(server.ServiceUnavailable):
            new("c").arrive(129)

    def test_a_stalled_body_gives_way_to_its_own_sender(self, new: Callable[..., Body]) -> None:
        """
        Given: an authenticated sender's bodies, one of which has stood still
        When: one more of it arrives
        Then: that one makes room
        """
        stalled, moving = new("a", True).arrive(100, 6), new("a", True).arrive(100, 4)
        new("a", True).arrive(100)
        assert (stalled.lost, moving.lost) == (True, False)

    def test_who_is_authenticated_later_keeps_what_it_holds(self) -> None:
        """
        Given: a request whose sender is authenticated after its body was read
        When: it is answered
        Then: its memory counted as the sender's, and all of it is free again
        """
        seen: list[Any] = []

        def late(request: server.Request) -> server.Answer:
            body = request.read_body()
            memory = serving.server.memory
            seen.append(dict(memory._totals))
            request.mark_authenticated("key 1")
            seen.append((dict(memory._totals), dict(memory._held)))
            return server.Answer(content=b"%d" % len(body))

        with Serving(late) as serving:
            assert serving.answers(posted(bytes(MIB))).endswith(b"%d" % MIB)
            totals = {True: MIB, False: 0}
            assert seen == [{True: 0, False: MIB}, (totals, {(True, "key 1"): MIB})]
            assert serving.server.memory._totals == {True: 0, False: 0}
            assert not any(serving.server.memory._owners.values())

    @pytest.mark.parametrize("outcome", ["now", "later", "refused", "failed", "bad chunk", "early"])
    def test_what_is_answered_is_free_though_connections_stay(self, outcome: str) -> None:
        """
        Given: thirty bodies of a MiB, answered in different ways, by connections that stay open
        When: no garbage is collected
        Then: none of the bodies is in memory any more
        """
        later: list[server.Request] = []

        def answer(request: server.Request) -> server.Answer | None:
            if outcome == "early":
                raise server.HTTPError(401, "No.")
            body = request.read_body()
            if outcome == "later":
                later.append(request)
                return None
            if outcome == "refused":
                raise server.BadRequest(f"{len(body)}")
            return server.Answer(content=b"%d" % (1 / 0 if outcome == "failed" else len(body)))

        data = posted(bytes(MIB))
        if outcome == "bad chunk":
            data = chunked(b"%x\r\n%b\r\nnonsense\r\n" % (MIB, bytes(MIB)))
        failures: list[BaseException] = []
        with Serving(answer) as serving, contextlib.ExitStack() as stack:
            serving.server.report_failure = lambda error: failures.append(type(error)())
            gc.disable()
            stack.callback(gc.enable)
            tracemalloc.start()
            stack.callback(tracemalloc.stop)
            for _ in range(30):
                sock = stack.enter_context(serving.connect(data))
                if outcome == "later":
                    await_that(lambda: later)
                    later.pop().reply(server.Answer())
                assert one_answer(sock)
            assert sum(serving.connections.counts().values()) == 30
            assert tracemalloc.get_traced_memory()[0] < 4 * MIB


# ---- work that is bounded

WORST_TEXTS: dict[str, tuple[str, Callable[[int], Any]]] = {  # of each pattern, by its name
    "CHUNK_LINE": ("fullmatch", lambda n: b"1" + b" " * n + b";" + b" " * n + b"a" * n),
    "ESCAPE": ("findall", lambda n: b"%" * n + b"%4" * n),
    "HEADER_LINES": ("fullmatch", lambda n: "a:b\r\n" * n + "a" * n),
    "LENGTH_LINE": ("search", lambda n: b"\r\nContent-Length: 1" * n),
    "PEM_CERTIFICATE": ("findall", lambda n: (server.BEGIN_CERTIFICATE + "A" * 9) * n + "A" * n),
    "REQUEST_LINE": ("fullmatch", lambda n: "a" * n + " " + "b HTTP/1.1" * n),
    "VALIDITY": ("search", lambda n: b"\x30\x1e\x17\x0d260101000000Z" * n),
}


class TestWork:
    def test_every_regular_expression_is_in_the_table(self) -> None:
        """
        Given: the module
        When: its patterns are looked for
        Then: each has its worst case here, and none is made outside the module's top level
        """
        patterns = compiled_patterns(server)
        assert patterns == WORST_TEXTS.keys()
        used = re.findall(r"\bre\.(?!Pattern)\w+\(", Path(server.__file__).read_text())
        assert used == ["re.compile("] * len(patterns)

    @pytest.mark.parametrize("name", WORST_TEXTS)
    def test_its_work_grows_no_faster_than_its_text(self, name: str) -> None:
        """
        Given: a pattern's worst text
        When: it is sixteen times as long
        Then: it takes about sixteen times as long, where backtracking would take 256 times
        """
        way, text = WORST_TEXTS[name]
        assert_linear(getattr(server, name), way, text)

    def test_single_bytes_of_a_head_are_not_looked_at_again_and_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a head of 30 KB that arrives byte by byte
        When: it is read
        Then: it is checked once for each KiB and each line, and the arrivals are slowed down
        """
        monkeypatch.setattr(server, "ARRIVAL_SECONDS", 0)
        checked: list[int] = []
        sock: Any = FakeSocket(get(b"X: " + b"a" * 30_000), 1)
        head = server.Reader(sock).until(b"\r\n\r\n", lambda head: checked.append(len(head)))
        assert len(head) > 30_000
        assert len(checked) < 45
