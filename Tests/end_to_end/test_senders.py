"""Senders authenticate and set themselves up: real clients over real sockets and TLS."""

import base64
import contextlib
import gzip
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import standardwebhooks
import trustme

from Tests.end_to_end.hostile import certificate, in_parallel
from Tests.end_to_end.sender import Sender, await_that, running, send
from Tests.sandbox.page.signing import proven

SECRET = "s3cret-of-the-sender"


def credentials(username: str, password: str = SECRET) -> dict[str, Any]:
    return {"credentials": {"identifier": username, "password": password}}


def signed(body: bytes, secret: str = SECRET) -> str:
    """Return the HMAC-SHA256 that openssl's command line makes, in hex."""
    command = ["openssl", "dgst", "-sha256", "-hmac", secret]
    return (
        subprocess.run(command, input=body, capture_output=True, check=True)
        .stdout.decode()
        .split()[-1]
    )


def proof(username: str, body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Return the headers with which a sender of this scheme authenticates."""
    return dict(proven(username, secret, "/", [], body)[1])


def everything_reported(sender: Sender) -> str:
    """Return all that left the instance except its answers."""
    sandbox = sender.sandbox
    samples: list[Any] = sandbox.run("fetch-incidents")
    parts = [
        sandbox.logs,
        sandbox.health_history,
        sandbox.stderr,
        sandbox.incidents(),
        sandbox.context(),
        samples,
    ]
    return json.dumps(parts, ensure_ascii=False)


# ---- schemes


def test_what_openssl_signs_and_curl_sends_becomes_an_incident(tmp_path: Path) -> None:
    body = '{"action": "opened", "größe": 1}'.encode()
    file = tmp_path / "body.json"
    file.write_bytes(body)
    with running(params=credentials("_hmac:X-Hub-Signature-256")) as sender:
        for digest, status in ((signed(body), "200"), (signed(body + b" "), "401")):
            header = f"X-Hub-Signature-256: sha256={digest}"
            command = [
                "curl",
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                sender.sandbox.sender_url,
            ]
            command += ["-H", header, "--data-binary", f"@{file}"]
            assert (
                subprocess.run(command, capture_output=True, check=True).stdout.decode() == status
            )
        assert len(sender.sandbox.incidents()) == 1


def test_a_compressed_body_is_signed_as_it_was_sent() -> None:
    body = gzip.compress(b'{"packed": true}')
    with running(params=credentials("_hmac:X-Sum")) as sender:
        assert sender.raws(body, content_encoding="gzip", **proof("_hmac:X-Sum", body)) == [
            {"packed": True}
        ]
        assert (
            sender.refused(body, content_encoding="gzip", x_sum=signed(b'{"packed": true}'))[0]
            == 401
        )


def test_a_large_signed_body_is_an_incident_and_an_unsigned_one_is_not_parsed() -> None:
    body = json.dumps({"text": "x" * 3_000_000}).encode()
    with running(params=credentials("_hmac:X-Sum")) as sender:
        assert sender.raws(body, x_sum=signed(body)) == [json.loads(body)]
        assert sender.refused(b"[broken", x_sum=signed(body)) == (
            401,
            "The signature in X-Sum does not match; use the same secret on both ends, "
            "and sign the body's bytes as they are sent.",
        )


def test_a_delivery_of_standard_webhooks_is_created_once() -> None:
    """Given: an instance with a Standard Webhooks secret, and no duplication key
    When: the sender's library signs deliveries of objects and an array, each sent twice
    Then: each event is created once, and the second delivery is answered with the first one's
        incidents
    """
    secret = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
    library = standardwebhooks.Webhook(secret)
    with running(params=credentials("_standard-webhooks", secret)) as sender:
        for number, body in enumerate(('{"a": 1}', '{"a": 1}', '[{"a": 1}, {"a": 2}]')):
            now = datetime.now(UTC)
            headers: dict[str, Any] = {
                "webhook_id": f"msg_{number}",
                "webhook_timestamp": str(int(now.timestamp())),
                "webhook_signature": library.sign(f"msg_{number}", now, body),
            }
            first, second = (sender.post(body, **headers).json for _ in range(2))
            assert [incident["id"] for incident in first] == [incident["id"] for incident in second]
            assert [incident.get("duplicate") for incident in second] == [True] * len(first)
        assert len(sender.sandbox.incidents()) == 4
        stale = {**headers, "webhook_timestamp": str(int(time.time()) - 400)}
        assert "more than 5 minutes" in sender.refused(body, **stale)[1]


def test_a_token_in_the_url_is_revealed_nowhere() -> None:
    params = {**credentials("_query:key-word"), "store_samples": True, "keep_unreadable": False}
    with running(params=params, constants={"REPORT_SECONDS": 1, "FLUSH_SECONDS": 0.2}) as sender:
        url = sender.sandbox.sender_url
        answers = b""
        for query, status in (
            (f"?key-word={SECRET}&host=db1", 200),
            (f"?key-word={SECRET}x", 401),
            ("", 401),
            ("?host=db1", 401),
        ):
            answer = send(
                url + query,
                b'{"a": 1}',
                {"Referer": f"https://user:{SECRET}@app.example.com/x{query}"},
            )
            assert answer.status == status, query
            answers += answer.body
        answers += send(
            f"{url}?key-word={SECRET}", b"[broken", {"Content-Type": "application/json"}
        ).body
        [incident] = sender.sandbox.incidents()
        raw = json.loads(incident["rawJSON"])
        assert raw["query"] == {"host": "db1"}
        assert raw["headers"]["referer"] == "https://app.example.com/x"
        await_that(lambda: sender.sandbox.context().get("sample_events"))
        await_that(
            lambda: any("3 failed authentications" in text for _, text in sender.sandbox.logs)
        )
        assert SECRET not in everything_reported(sender) + answers.decode()


def test_secrets_are_changed_without_a_gap() -> None:
    with running(params=credentials("_hmac:X-Sum", "0ld secret\nn3w secret")) as sender:
        for secret in ("0ld secret", "n3w secret"):
            assert sender.post(b"{}", **proof("_hmac:X-Sum", b"{}", secret)).status == 200
        for part in ("n3w", "secret", "0ld"):
            assert sender.post(b"{}", **proof("_hmac:X-Sum", b"{}", part)).status == 401


# ---- handshakes


def test_vendors_are_answered_before_they_can_prove_themselves() -> None:
    with running(params=credentials("_hmac:X-Hook-Signature")) as sender:
        url = sender.sandbox.sender_url
        assert sender.post(b'{"challenge":"3eZbrw1a"}').json == {"challenge": "3eZbrw1a"}
        okta = send(url, method="GET", headers={"X-Okta-Verification-Challenge": "8d4c"})
        assert okta.json == {"verification": "8d4c"}
        graph = send(
            url + "?validationToken=Validation%3A+ok", headers={"Content-Type": "text/plain"}
        )
        assert (graph.status, graph.body, graph.headers["content-type"]) == (
            200,
            b"Validation: ok",
            "text/plain",
        )
        assert graph.headers["x-content-type-options"] == "nosniff"
        events = send(
            url, method="OPTIONS", headers={"WebHook-Request-Origin": "events.example.com"}
        )
        assert (events.headers["webhook-allowed-origin"], events.headers["allow"]) == (
            "events.example.com",
            "POST",
        )
        assert send(url, method="GET").json == {"status": "ok"}
        head = send(url, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        asana = sender.post(b"", x_hook_secret="b537207f20cbfa02")
        assert asana.headers["x-hook-secret"] == "b537207f20cbfa02"
        assert "b537207f20cbfa02" not in sender.sandbox.health
        assert not sender.sandbox.incidents()


def test_asana_s_secret_is_shown_while_the_instance_has_no_credentials() -> None:
    secret = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"
    with running() as sender:
        asana = sender.post(b"", x_hook_secret=secret)
        assert asana.headers["x-hook-secret"] == secret
        await_that(lambda: secret in sender.sandbox.health)
        assert "(from 127.0.0.1)" in sender.sandbox.health
        assert not sender.sandbox.incidents()


def test_a_payload_that_only_looks_like_a_handshake_is_an_incident() -> None:
    with running(params=credentials("_hmac:X-Sum")) as sender:
        for body in (
            b'{"challenge":"x","alert":"disk full"}',
            b'{"type":"url_verification","challenge":"x","alert":"disk full"}',
            b'{"Type":"SubscriptionConfirmation"}',
            b'[{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{}}]',
        ):
            assert sender.refused(body)[0] == 401, body
            assert len(sender.raws(body, **proof("_hmac:X-Sum", body))) == 1, body


def test_slack_is_answered_once_it_has_proved_itself() -> None:
    body = b'{"token":"t","challenge":"3eZbrw1a","type":"url_verification"}'
    with running(params=credentials("_slack")) as sender:
        assert sender.refused(body)[0] == 401
        assert sender.post(body, **proof("_slack", body)).json == {"challenge": "3eZbrw1a"}
        assert not sender.sandbox.incidents()


def test_a_guessed_verify_token_is_a_failed_authentication() -> None:
    query = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    with running(params=credentials("user")) as sender:
        url = sender.sandbox.sender_url + query
        assert send(url + SECRET, method="GET").body == b"1158201444"
        started = time.monotonic()
        assert [send(url + "guess", method="GET").status for _ in range(6)] == [401] * 6
        assert time.monotonic() - started > 0.3  # those after the third are delayed


# ---- Amazon SNS

SNS_SENDERS, SNS_ROUNDS = 16, 12
CONFIRM_SECONDS = 0.5


@contextlib.contextmanager
def sns_behind_a_proxy(
    folder: Path, status: str
) -> Iterator[tuple[dict[str, str | None], list[bytes]]]:
    """Yield the environment of a container that reaches a stand-in for SNS through a proxy.

    What the two were requested is yielded as well.
    """
    ca, asked = trustme.CA(), []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("sns.eu-central-1.amazonaws.com").configure_cert(context)
    bundle = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(bundle))
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain = listener.accept()[0]
                asked.append(plain.recv(4096))
                plain.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                with (
                    contextlib.suppress(OSError),
                    context.wrap_socket(plain, server_side=True) as secure,
                ):
                    asked.append(secure.recv(4096))
                    secure.sendall(
                        f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n"
                        f"Connection: close\r\n\r\n".encode()
                    )

    threading.Thread(target=serve, daemon=True).start()
    proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield (
            {
                "HTTPS_PROXY": proxy,
                "https_proxy": proxy,
                "NO_PROXY": "",
                "no_proxy": "",
                "REQUESTS_CA_BUNDLE": str(bundle),
            },
            asked,
        )
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    "status, answered", [("200 OK", 200), ("302 Found", 502), ("403 Forbidden", 502)]
)
def test_a_subscription_of_sns_is_confirmed(tmp_path: Path, status: str, answered: int) -> None:
    """Given: an instance with Basic authentication, behind a proxy
    When: SNS asks to confirm a subscription, first without credentials, as it does
    Then: 401 with a challenge; then the URL is fetched through the proxy, and 200 needs its success
    """
    url = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f"
    body = json.dumps(
        {"Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:x", "SubscribeURL": url}
    ).encode()
    with sns_behind_a_proxy(tmp_path, status) as (environment, asked):
        with running(params={**credentials("user"), "proxy": True}, env=environment) as sender:
            unproven = sender.post(body, "text/plain; charset=UTF-8")
            assert (unproven.status, unproven.headers["www-authenticate"][:5]) == (401, "Basic")
            assert not asked
            proof = "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()
            assert (
                sender.post(body, "text/plain; charset=UTF-8", authorization=proof).status
                == answered
            )
            assert asked[0].startswith(b"CONNECT sns.eu-central-1.amazonaws.com:443 ")
            assert asked[1].startswith(b"GET /?Action=ConfirmSubscription&Token=2336412f ")
            assert len(asked) == 2
            assert not sender.sandbox.incidents()
            elsewhere = body.replace(b"amazonaws.com", b"example.com")
            assert sender.refused(elsewhere, authorization=proof)[0] == 400


def test_confirmations_that_get_no_answer_hold_up_nobody() -> None:
    """
    Given: an instance whose proxy accepts connections and never answers
    When: hundreds of confirmations arrive, many at a time, and other requests between them
    Then: at most four are tried at a time, the others are told to come again, all others are 200
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy)
    environment |= dict.fromkeys(("NO_PROXY", "no_proxy"), "")
    url = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f"
    body = json.dumps(
        {"Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:x", "SubscribeURL": url}
    ).encode()
    constants = {"CONFIRM_SECONDS": CONFIRM_SECONDS}
    with listener, running(params={"proxy": True}, env=environment, constants=constants) as sender:
        confirmations: list[tuple[int, str]] = []
        others: list[int] = []

        def confirm() -> None:
            for _ in range(SNS_ROUNDS):
                answer = sender.post(body, "text/plain; charset=UTF-8")
                confirmations.append((answer.status, answer.headers.get("retry-after", "")))
                others.append(sender.post(b'{"name":"alert"}').status)

        started = time.monotonic()
        in_parallel([confirm] * SNS_SENDERS, 120)
        assert set(others) == {200}
        assert set(confirmations) == {(503, "30"), (502, "")}
        tried = confirmations.count((502, ""))
        assert 4 <= tried <= 4 * (1 + (time.monotonic() - started) / CONFIRM_SECONDS)
        assert len(sender.sandbox.incidents()) == SNS_SENDERS * SNS_ROUNDS


# ---- who may connect


def test_only_named_sources_may_connect() -> None:
    params = {"allowed_sources": "203.0.113.0/24, 2001:db8::/32", "trusted_proxies": "127.0.0.1"}
    with running(params=params) as sender:
        url = f"http://127.0.0.1:{sender.sandbox.container_port}/"
        answers = {
            "203.0.113.9": 200,
            "198.51.100.1, 203.0.113.9": 200,
            "[2001:db8::9]:4711": 200,
            "203.0.113.9, 198.51.100.1": 403,
            "unknown": 403,
            "": 403,
        }
        for forwarded, status in answers.items():
            headers = {"X-Forwarded-For": forwarded} if forwarded else {}
            assert send(url, b"{}", headers).status == status, forwarded
            assert send(url + "health", method="GET", headers=headers).status == status
        sources = [
            json.loads(incident["rawJSON"])["source_address"]
            for incident in sender.sandbox.incidents()
        ]
        assert sorted(sources) == ["2001:db8::9", "203.0.113.9", "203.0.113.9"]


def test_without_trusted_proxies_the_header_is_ignored() -> None:
    with running(params={"allowed_sources": "203.0.113.9"}) as sender:
        url = f"http://127.0.0.1:{sender.sandbox.container_port}/"
        assert send(url, b"{}", {"X-Forwarded-For": "203.0.113.9"}).status == 403


def test_a_client_needs_a_certificate_of_the_ca(tmp_path: Path) -> None:
    """Given: an instance with HTTPS and a client CA
    When: openssl and requests connect with a certificate of it, of another CA, and without one
    Then: the first posts an incident, the others end at the handshake
    """
    pair, ca, stranger = certificate(), trustme.CA(), trustme.CA()
    files: dict[str, str] = {}
    for name, authority in (("good", ca), ("bad", stranger)):
        files[name] = str(tmp_path / f"{name}.pem")
        authority.issue_cert("client.example.com").private_key_and_cert_chain_pem.write_to_path(
            files[name]
        )
    with running(params={**pair.params, "client_ca": ca.cert_pem.bytes().decode()}) as sender:
        port = sender.sandbox.container_port
        for cert in (None, files["bad"]):
            with pytest.raises(requests.exceptions.ConnectionError), pytest.warns(Warning):
                requests.post(
                    f"https://127.0.0.1:{port}/", data=b"{}", cert=cert, verify=False, timeout=10
                )
        with pytest.warns(Warning):
            answer = requests.post(
                f"https://127.0.0.1:{port}/",
                data=b"{}",
                cert=files["good"],
                verify=False,
                timeout=10,
            )
        assert answer.status_code == 200
        request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        for extra, words in ((["-cert", files["good"]], b"HTTP/1.1 200"), ([], b"")):
            command = [
                "openssl",
                "s_client",
                "-quiet",
                "-ign_eof",
                "-connect",
                f"127.0.0.1:{port}",
                *extra,
            ]
            done = subprocess.run(command, input=request, capture_output=True, timeout=20)
            assert words in done.stdout if words else b"HTTP/1.1" not in done.stdout
        assert len(sender.sandbox.incidents()) == 2
