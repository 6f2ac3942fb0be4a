"""Unit tests of SnsSignatureApiModule.py: the signatures of Amazon SNS."""

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import gevent
import gevent.threadpool
import pytest
import requests
import SnsSignatureApiModule as sns
import WebhookSecurityApiModule as security
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from Tests.proving import SCHEMES, Prover

HOST = "https://sns.eu-central-1.amazonaws.com"
CERTIFICATE_URL = f"{HOST}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:alerts"
HEADERS = {"x-amz-sns-message-type": "Notification"}
ALGORITHMS = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # nosec B303


def certificate_of(key: Any) -> str:
    """Return a certificate in PEM for a private key, as cryptography makes it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(autouse=True)
def pool() -> Iterator[None]:
    yield
    sns._confirmation_pool().join()


@pytest.fixture
def served(key: rsa.RSAPrivateKey, requests_mock: Any) -> Any:
    """Serve the certificate where SNS does."""
    requests_mock.get(CERTIFICATE_URL, text=certificate_of(key))
    return requests_mock


def notification(**changes: Any) -> dict[str, Any]:
    message = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Subject": "An alarm",
        "Message": '{"AlarmName":"disk full","größe":1}\nsecond line',
        "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.123Z"),
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE_URL,
        "UnsubscribeURL": f"{HOST}/?Action=Unsubscribe",
        **changes,
    }
    return {name: value for name, value in message.items() if value is not None}


def sign(message: dict[str, Any], key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """Return a message with the signature that cryptography makes over the fields AWS documents."""
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn"]
    if message["Type"] != "Notification":
        names.remove("Subject")
    text = "".join(f"{name}\n{message[name]}\n" for name in [*names, "Type"] if name in message)
    algorithm = ALGORITHMS[message["SignatureVersion"]]
    signature = key.sign(text.encode(), padding.PKCS1v15(), algorithm)
    return {**message, "Signature": base64.b64encode(signature).decode()}


def verify(message: Any, password: str = "", headers: dict[str, str] = HEADERS) -> None:
    authenticator = Prover("_sns", password)
    authenticator.verify_headers(headers)
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    authenticator.verify_body(headers, body)


def refused(message: Any, password: str = "", headers: dict[str, str] = HEADERS) -> str:
    with pytest.raises(security.ProofError) as refusal:
        verify(message, password, headers)
    return refusal.value.sentence


class TestSnsSignature:
    @pytest.mark.parametrize("version", ["1", "2"])
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"Subject": None},
            {"Message": ""},
            {"Type": "SubscriptionConfirmation", "Token": "2336", "SubscribeURL": f"{HOST}/?a=b"},
            {"Type": "UnsubscribeConfirmation", "Token": "2336", "SubscribeURL": f"{HOST}/?a=b"},
        ],
    )
    def test_what_sns_signs_is_authenticated(
        self, version: str, changes: dict[str, Any], key: rsa.RSAPrivateKey, served: Any
    ) -> None:
        verify(sign(notification(SignatureVersion=version, **changes), key))

    @pytest.mark.parametrize("version", ["1", "2"])
    @pytest.mark.parametrize("name", ["Message", "MessageId", "Subject", "TopicArn", "Timestamp"])
    def test_a_changed_field_is_refused(
        self, version: str, name: str, key: rsa.RSAPrivateKey, served: Any
    ) -> None:
        message = sign(notification(SignatureVersion=version), key)
        changed = message[name].replace(".123Z", ".124Z") if name == "Timestamp" else "another"
        assert refused({**message, name: changed}) == sns.WRONG_SNS
        version_swapped = {"1": "2", "2": "1"}[version]
        assert refused({**message, "SignatureVersion": version_swapped}) == sns.WRONG_SNS

    def test_another_key_s_signature_is_refused(self, served: Any) -> None:
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert refused(sign(notification(), other)) == sns.WRONG_SNS

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"[]",
            b"{",
            b"[" * 100_000,
            b'{"Type":"Notification"}',
            notification(),
            notification(Signature=5),
            notification(Signature="EXAMPLE=", Type="Other"),
            notification(Signature="EXAMPLE=", SignatureVersion="3"),
            notification(Signature="EXAMPLE=", TopicArn=None),
            notification(Signature="EXAMPLE=", SigningCertURL="https://example.com/x.pem"),
            notification(Signature="EXAMPLE=", SigningCertURL=f"{HOST}/other.pem"),
            notification(Signature="EXAMPLE=", SigningCertURL=f"{CERTIFICATE_URL}?x"),
            notification(
                Signature="EXAMPLE=",
                SigningCertURL=CERTIFICATE_URL.replace("eu-central-1", "s3"),
            ),
            notification(Signature="EXAMPLE=", Message="x" * 1024 * 1024),
        ],
    )
    def test_what_is_no_message_of_sns_is_refused_without_asking_sns(
        self, message: Any, served: Any
    ) -> None:
        assert refused(message) == sns.NO_SNS
        assert not served.called

    @pytest.mark.parametrize("signature", ["", "EXAMPLE=", "A" * 344, "/" * 342 + "==", "00" * 256])
    def test_a_block_that_is_no_signature_is_refused(self, signature: str, served: Any) -> None:
        assert refused(notification(Signature=signature)) == sns.WRONG_SNS

    def test_without_the_header_of_sns_it_may_be_a_handshake(self, served: Any) -> None:
        with pytest.raises(security.MissingCredentials):
            verify(notification(), headers={})

    @pytest.mark.parametrize("seconds, good", [(-3800, True), (-4000, False), (4000, False)])
    def test_a_message_holds_as_long_as_sns_repeats_it(
        self, seconds: int, good: bool, key: rsa.RSAPrivateKey, served: Any
    ) -> None:
        then = datetime.now(UTC) + timedelta(seconds=seconds)
        message = sign(notification(Timestamp=then.strftime("%Y-%m-%dT%H:%M:%S.000Z")), key)
        if good:
            verify(message)
        else:
            assert refused(message) == sns.STALE_SNS
            assert not served.called

    def test_fields_cannot_be_moved_into_one_another(
        self, key: rsa.RSAPrivateKey, served: Any
    ) -> None:
        """
        Given: a signed message whose text holds lines that look like other fields
        When: those lines are cut off, and put where such fields stand
        Then: it is refused, although the signed bytes are the same
        """
        text = "harmless\nMessageId\nforged\nSubject\nforged"
        message = sign(notification(Message=text, Subject=None), key)
        verify(message)
        rest = f"forged\nMessageId\n{message['MessageId']}"
        forged = {**message, "Message": "harmless", "MessageId": "forged", "Subject": rest}
        assert refused(forged) == sns.NO_SNS

    @pytest.mark.parametrize(
        "password, good",
        [
            ("", True),
            (TOPIC, True),
            ("arn:aws:sns:eu-central-1:123456789012:", True),
            (f"arn:aws:sns:us-east-1:1:x\n {TOPIC}", True),
            ("arn:aws:sns:eu-central-1:999999999999:", False),
        ],
    )
    def test_the_topic_has_to_be_ours(
        self, password: str, good: bool, key: rsa.RSAPrivateKey, served: Any
    ) -> None:
        message = sign(notification(), key)
        if good:
            verify(message, password)
        else:
            assert refused(message, password) == sns.WRONG_TOPIC

    @pytest.mark.parametrize(
        "password", ["s3cret", "123456789012", f"{TOPIC} {TOPIC}", f"{TOPIC}\nx"]
    )
    def test_a_password_is_the_arns_of_topics(self, password: str) -> None:
        with pytest.raises(security.CredentialError, match=r"^Password: enter the ARNs"):
            Prover("_sns", password)
        with pytest.raises(security.CredentialError, match=r"^Username: _sns takes no"):
            Prover("_sns:X", TOPIC)

    def test_lines_of_topics_name_the_one_that_counts(
        self, key: rsa.RSAPrivateKey, served: Any
    ) -> None:
        """
        Given: lines for a topic, for an account's topics, and for any topic below a path
        When: a message of the topic arrives at the path and elsewhere
        Then: the most specific line that counts there proves it
        """
        lines = f"_sns {TOPIC}\n/account _sns arn:aws:sns:eu-central-1:123456789012:\n/any _sns"
        rows = security.read_more_credentials(lines, SCHEMES, pytest.fail)
        credentials = security.Credentials(rows, SCHEMES)
        body = json.dumps(sign(notification(), key)).encode()
        for path, label in (("/", "_sns"), ("/account/1", "/account"), ("/any", "/any")):
            proof = credentials.verify_head(path, HEADERS)
            assert credentials.verify_body(proof, body).label == label
        other = json.dumps(sign(notification(TopicArn=f"{TOPIC[:-6]}other"), key)).encode()
        proof = credentials.verify_head("/", HEADERS)
        with pytest.raises(security.ProofError, match="This topic may not send here"):
            credentials.verify_body(proof, other)

    @pytest.mark.parametrize(
        "timestamp", ["", "soon", "2024-99-99T99:99:99.000Z", "2024-05-01", "2024-05-01T12:00:00"]
    )
    def test_a_text_that_is_not_a_time_is_refused(self, timestamp: str, served: Any) -> None:
        message = notification(Timestamp=timestamp, Signature="AAAA")
        assert refused(message) == sns.STALE_SNS
        assert not served.called

    @pytest.mark.parametrize("signature", ["!", "AAA", "é"])
    def test_a_signature_that_is_not_base64_is_refused(self, signature: str, served: Any) -> None:
        assert refused(notification(Signature=signature)) == sns.WRONG_SNS

    def test_a_message_has_no_id_of_its_scheme(self) -> None:
        authenticator = Prover("_sns", "")
        assert not authenticator.credentials.identifies
        assert authenticator.event_id(HEADERS) is None


class TestRequests:
    def test_only_so_many_are_made_at_a_time(self, requests_mock: Any) -> None:
        release = threading.Event()
        requests_mock.get(CERTIFICATE_URL, text=lambda *_: str(release.wait(10)))
        pool = sns._confirmation_pool()
        hanging = [
            pool.spawn(sns.fetch_from_sns, CERTIFICATE_URL, False)
            for _ in range(sns.MAX_CONFIRMATIONS)
        ]
        try:
            with pytest.raises(sns.SnsError, match="are in progress") as failure:
                sns.confirm_subscription(f"{HOST}/?Action=ConfirmSubscription", False)
            assert failure.value.retry_seconds == 30
        finally:
            release.set()
            gevent.joinall(hanging)

    def test_a_subscription_is_confirmed_or_not(self, requests_mock: Any) -> None:
        url = f"{HOST}/?Action=ConfirmSubscription"
        requests_mock.get(url, [{"text": "ok"}, {"status_code": 403}])
        sns.confirm_subscription(url, use_proxy=False)
        with pytest.raises(sns.SnsError, match="could not be confirmed at Amazon SNS: it answered"):
            sns.confirm_subscription(url, use_proxy=False)
        with pytest.raises(sns.SnsError, match="is not an address of Amazon SNS") as failure:
            sns.confirm_subscription("https://example.com/", use_proxy=False)
        assert failure.value.is_senders_fault

    def test_whoever_waits_too_long_goes_on(
        self, requests_mock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sns, "CONFIRM_SECONDS", 0.05)
        release = threading.Event()
        requests_mock.get(HOST, text=lambda *_: str(release.wait(10)))
        try:
            assert sns.ask_sns(f"{HOST}/", False) == ("no answer within 0.05 s", b"")
        finally:
            release.set()


class TestCertificates:
    def test_a_certificate_is_fetched_once(self, key: rsa.RSAPrivateKey, served: Any) -> None:
        authenticator = Prover(" _SNS ", "")
        for _ in range(3):
            body = json.dumps(sign(notification(), key)).encode()
            authenticator.verify_body(HEADERS, body)
        assert served.call_count == 1
        assert not authenticator.credentials.secrets and authenticator.credentials.only_sign

    @pytest.mark.parametrize(
        "answer",
        [
            {"status_code": 404},
            {"exc": requests.exceptions.ConnectTimeout},
            {"text": "no certificate"},
            {"text": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
            {"text": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"},
            {"text": certificate_of(ec.generate_private_key(ec.SECP256R1()))},
        ],
    )
    def test_without_a_certificate_sns_has_to_come_again(
        self, answer: dict[str, Any], key: rsa.RSAPrivateKey, requests_mock: Any
    ) -> None:
        """
        Given: a certificate that cannot be fetched or read
        When: messages arrive
        Then: they are told to come again, and the certificate is not asked for each time
        """
        requests_mock.get(CERTIFICATE_URL, **answer)
        authenticator = Prover("_sns", "")
        for _ in range(3):
            with pytest.raises(sns.SnsError) as failure:
                authenticator.verify_body(HEADERS, json.dumps(sign(notification(), key)).encode())
            assert failure.value.retry_seconds == 30
        assert requests_mock.call_count == 1

    def test_a_large_message_does_not_wait_on_the_thread_of_large_bodies(
        self, key: rsa.RSAPrivateKey, served: Any
    ) -> None:
        """
        Given: an instance without the certificate
        When: a message is verified on another native thread
        Then: it is told to come again, the event loop fetches the certificate, and then it passes
        """
        authenticator = Prover("_sns", "")
        body = json.dumps(sign(notification(), key)).encode()
        worker = gevent.threadpool.ThreadPool(1)

        def attempt() -> int:
            try:
                authenticator.verify_body(HEADERS, body)
            except sns.SnsError as error:
                return error.retry_seconds
            return 0

        assert worker.apply(attempt) == 30
        with gevent.Timeout(30):
            while worker.apply(attempt):
                gevent.sleep(0.01)
        assert served.call_count == 1
        worker.kill()

    def test_only_sixteen_are_kept(
        self, key: rsa.RSAPrivateKey, requests_mock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authenticator = Prover("_sns", "")
        pem = certificate_of(key)
        for number in range(20):
            url = f"{HOST}/SimpleNotificationService-{number:032x}.pem"
            requests_mock.get(url, text=pem)
            message = sign(notification(SigningCertURL=url), key)
            authenticator.verify_body(HEADERS, json.dumps(message).encode())
        [group] = authenticator.credentials.groups
        assert isinstance(group, security.SignatureAuthenticator)
        assert isinstance(group.verifier, sns.SnsVerifier)
        assert len(group.verifier._keys) == 16

    def test_a_certificate_s_key_is_that_which_cryptography_reads(self) -> None:
        for bits, exponent in ((1024, 3), (2048, 65537), (3072, 65537), (4096, 65537)):
            made = rsa.generate_private_key(public_exponent=exponent, key_size=bits)
            numbers = made.public_key().public_numbers()
            found = sns.read_certificate_key(certificate_of(made))
            assert found == (numbers.n, numbers.e)

    def test_der_that_is_cut_off_is_an_error(self, key: rsa.RSAPrivateKey) -> None:
        pem = certificate_of(key)
        der = base64.b64decode("".join(pem.splitlines()[1:-1]))
        for cut in range(0, len(der), 7):
            coded = base64.b64encode(der[:cut]).decode()
            text = f"-----BEGIN CERTIFICATE-----\n{coded}\n-----END CERTIFICATE-----"
            with pytest.raises(ValueError):
                sns.read_certificate_key(text)


class TestRsa:
    @pytest.mark.parametrize("algorithm", ["1", "2"])
    def test_a_forged_block_is_no_signature(self, algorithm: str) -> None:
        """
        Given: a key with the exponent 3, for which a cube root makes a block that begins rightly
        When: the digest stands right after a short padding, and rubbish fills the rest
        Then: it is refused, for the whole block is compared
        """
        key = rsa.generate_private_key(public_exponent=3, key_size=2048)
        modulus = key.public_key().public_numbers().n
        digest = sns.SNS_HASHES[algorithm][1] + bytes(range(32 if algorithm == "2" else 20))
        start = b"\0\1" + b"\xff" * 8 + b"\0" + digest
        lowest = int.from_bytes(start + b"\0" * (256 - len(start)), "big")
        low, high = 0, 1 << 700
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if middle**3 < lowest else (low, middle)
        block = (low**3).to_bytes(256, "big")
        assert block.startswith(start)  # who reads only the beginning is deceived
        public = sns.RsaKey(modulus, 3)
        assert not sns.is_signed_by(public, low.to_bytes(256, "big"), digest)

    def test_numbers_beyond_the_modulus_and_other_sizes_are_refused(
        self, key: rsa.RSAPrivateKey
    ) -> None:
        numbers = key.public_key().public_numbers()
        digest_prefix = sns.SNS_HASHES["2"][1]
        signature = key.sign(b"text", padding.PKCS1v15(), hashes.SHA256())
        digest = digest_prefix + sns.hashlib.sha256(b"text").digest()
        public = sns.RsaKey(numbers.n, numbers.e)
        assert sns.is_signed_by(public, signature, digest)
        number = int.from_bytes(signature, "big")
        beyond = number + numbers.n
        assert not sns.is_signed_by(public, b"\0" + signature, digest)
        assert not sns.is_signed_by(public, signature[1:], digest)
        if beyond < 1 << 2048:
            assert not sns.is_signed_by(public, beyond.to_bytes(256, "big"), digest)
        assert not sns.is_signed_by(sns.RsaKey(7, 3), b"\1", digest)
