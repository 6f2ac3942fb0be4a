"""Amazon SNS: messages are signed by RSA, with a certificate that SNS itself serves.

What it is for: a message goes in, and whether SNS signed it comes out; the URL of a subscription
goes in, and is confirmed. The module knows nothing of other ways to prove a sender, of HTTP
answers, of Cortex XSOAR, or of incidents.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
The certificate counts because it comes by HTTPS from a host of SNS. Requests to SNS are made on
native threads of their own, because one that hangs keeps its thread.

| section | what it does |
| --- | --- |
| Messages | whether SNS signed a message, and whose topic it is of |
| RSA | the key in a certificate, and its signatures |
| Requests | certificates and confirmations, fetched from SNS |
"""

import base64
import contextlib
import functools
import hashlib
import hmac
import json
import math
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import gevent
from gevent.threadpool import ThreadPool

# -------------------------------------------------------------------------------------------------
# Messages: whether SNS signed a message, and whose topic it is of
# -------------------------------------------------------------------------------------------------

MAX_SNS_BYTES = 1024 * 1024  # a message has 256 KiB, whose quotation marks are escaped in JSON
SNS_TOLERANCE_SECONDS = 3900  # SNS repeats a message for an hour, with the same timestamp
MAX_CERTIFICATES = 16
CERTIFICATE_SECONDS = 86_400
FAILED_CERTIFICATE_SECONDS = 30  # until one that could not be fetched is asked for again
MAX_CERTIFICATE_BYTES = 16 * 1024
CONFIRM_SECONDS = 10
MAX_CONFIRMATIONS = 4  # requests to SNS at a time; where egress is dropped, each keeps a thread
CONFIRM_AGAIN_SECONDS = 30
# The whole URL is matched, because two parsers of one URL may disagree on where its host ends. The
# region has its form, such as us-gov-west-1, because sns.s3.amazonaws.com is anybody's bucket.
SNS_HOST = (
    r"https://sns\.(?:cn-[a-z]{2,12}-[0-9]{1,2}\.amazonaws\.com\.cn"
    r"|(?!cn-)[a-z]{2}(?:-[a-z]{2,12}){1,2}-[0-9]{1,2}\.amazonaws\.com)"
)
SNS_URL = re.compile(SNS_HOST + r"(?::443)?/[!-\[\]-~]*+")
SNS_CERTIFICATE_URL = re.compile(SNS_HOST + r"/SimpleNotificationService-[0-9a-zA-Z]{1,64}\.pem")
SNS_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
TOPIC_ARN = re.compile(r"arn:aws[a-z-]{0,20}:sns:[!-~]*")
SNS_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([^-]{1,16000}+)-----END CERTIFICATE-----")
SNS_SIGNED = {  # fields, in the order in which they are signed
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}
SNS_SIGNED["UnsubscribeConfirmation"] = SNS_SIGNED["SubscriptionConfirmation"]
# The hash of each SignatureVersion, and what stands before it in PKCS #1 (RFC 8017, 9.2).
SNS_HASHES = {
    "1": ("sha1", bytes.fromhex("3021300906052b0e03021a05000414")),
    "2": ("sha256", bytes.fromhex("3031300d060960864801650304020105000420")),
}
RSA_ENCRYPTION = bytes.fromhex("06092a864886f70d010101")
NO_SNS = "Only Amazon SNS may send here, with raw message delivery turned off."
WRONG_SNS = "The signature of Amazon SNS does not match the message."
STALE_SNS = (
    "The timestamp of Amazon SNS is more than 65 minutes from now; check the clocks of both ends."
)
WRONG_TOPIC = "This topic may not send here; add its ARN to this webhook's Password in XSOAR."


class SnsError(Exception):
    """SNS did not answer us, or was asked for nothing; ``sentence`` says why.

    ``is_senders_fault`` is false where SNS did not answer, or where ``retry_seconds`` says when to
    send the message again.
    """

    def __init__(self, sentence: str, is_senders_fault: bool, retry_seconds: int = 0) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.is_senders_fault = is_senders_fault
        self.retry_seconds = retry_seconds


class SnsVerifier:
    """Verifies messages of SNS, and which topics count: anybody may have one.

    ``topics`` are ARNs or their beginnings, such as ``arn:aws:sns:eu-west-1:123456789012:``; with
    an empty one, every topic of every account counts.
    """

    hides_secrets = False  # an ARN is none
    identifies = False
    header = "x-amz-sns-message-type"
    headers: tuple[str, ...] = (header,)

    def __init__(self, topics: Iterable[str], use_proxy: bool) -> None:
        wrong = [topic for topic in topics if topic and not TOPIC_ARN.fullmatch(topic)]
        if wrong:
            raise ValueError(
                "enter the ARNs of the topics that may send, one a line, such as "
                "arn:aws:sns:eu-west-1:123456789012:alerts, or leave it empty."
            )
        self._use_proxy = use_proxy
        # URL: when it was fetched, and the key; None where that failed; the oldest stands first
        self._keys: OrderedDict[str, tuple[float, RsaKey | None]] = OrderedDict()
        self._pool = _confirmation_pool()  # of the event loop, where instances are made

    def head_problem(self, headers: dict[str, str]) -> str:
        """Return why a head cannot be that of a message of SNS; empty where it may."""
        return "" if self.header in headers else NO_SNS

    def find(
        self, headers: dict[str, str], query: str, body: bytes, secrets: Iterable[str]
    ) -> tuple[list[str], str]:
        """Return which of some topics a message is of, and what is wrong with one of none.

        Raises SnsError while the certificate is missing.
        """
        message = read_sns_message(body)
        if message is None:
            return [], NO_SNS
        topics = [topic for topic in secrets if message["TopicArn"].startswith(topic)]
        if not topics:
            return [], WRONG_TOPIC
        if not is_recent_message(message["Timestamp"]):
            return [], STALE_SNS
        signed = "".join(
            f"{name}\n{message[name]}\n" for name in SNS_SIGNED[message["Type"]] if name in message
        )
        algorithm, prefix = SNS_HASHES[message["SignatureVersion"]]
        digest = prefix + hashlib.new(algorithm, signed.encode("utf-8", "replace")).digest()
        try:
            signature = base64.b64decode(message["Signature"], validate=True)
        except ValueError:
            signature = b""
        is_right = is_signed_by(self._key(message["SigningCertURL"]), signature, digest)
        return (topics, "") if is_right else ([], WRONG_SNS)

    def event_id(self, headers: dict[str, str]) -> str | None:
        """Return None: a message's ID stands in its body, where a parameter may read it."""
        return None

    def _key(self, url: str) -> "RsaKey":
        fetched, key = self._keys.get(url, (-math.inf, None))
        age = time.monotonic() - fetched
        if age > (CERTIFICATE_SECONDS if key else FAILED_CERTIFICATE_SECONDS):
            if threading.get_ident() == self._pool.hub.thread_ident:
                key = self._fetch_key(url)
            else:  # on the thread of large bodies, all others would wait for the certificate
                key = None
                self._keys[url] = time.monotonic(), None
                self._pool.hub.loop.run_callback_threadsafe(gevent.spawn, self._fetch_later, url)
        if key is None:
            raise SnsError(
                "The certificate of Amazon SNS has not been fetched; let SNS send this again.",
                False,
                CONFIRM_AGAIN_SECONDS,
            )
        return key

    def _fetch_later(self, url: str) -> None:
        with contextlib.suppress(SnsError):
            self._fetch_key(url)

    def _fetch_key(self, url: str) -> "RsaKey | None":
        failure, content = ask_sns(url, self._use_proxy)
        key = None
        if not failure:
            with contextlib.suppress(ValueError):
                key = read_certificate_key(content.decode("latin-1"))
        self._keys[url] = time.monotonic(), key
        if len(self._keys) > MAX_CERTIFICATES:
            self._keys.popitem(last=False)
        return key


def read_sns_message(body: bytes) -> dict[str, str] | None:
    """Return the texts of a message of SNS that has all that its signature needs, else None.

    No text but Message has a line break, or one field could pass for two.
    """
    try:
        message = json.loads(body) if len(body) <= MAX_SNS_BYTES else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    texts = {name: text for name, text in message.items() if isinstance(text, str)}
    names = SNS_SIGNED.get(texts.get("Type", ""), ("Type", ""))
    needed = {*names, "SignatureVersion", "Signature", "SigningCertURL"} - {"Subject"}
    if not needed <= texts.keys() or texts["SignatureVersion"] not in SNS_HASHES:
        return None
    if any("\n" in texts.get(name, "") for name in names if name != "Message"):
        return None
    return texts if SNS_CERTIFICATE_URL.fullmatch(texts["SigningCertURL"]) else None


def is_recent_message(timestamp: str) -> bool:
    """Return whether SNS, which repeats a message for an hour, may have sent it now."""
    if not SNS_TIME.fullmatch(timestamp):
        return False
    try:
        sent = datetime.fromisoformat(timestamp[:19] + "+00:00").timestamp()
    except ValueError:
        return False
    return abs(time.time() - sent) <= SNS_TOLERANCE_SECONDS


# -------------------------------------------------------------------------------------------------
# RSA: the key in a certificate, and its signatures
# -------------------------------------------------------------------------------------------------


class RsaKey(NamedTuple):
    """A public key of RSA."""

    modulus: int
    exponent: int


def is_signed_by(key: RsaKey, signature: bytes, digest: bytes) -> bool:
    """Return whether a signature is that of a digest in its prefix: PKCS #1 (RFC 8017, 8.2.2).

    The whole block is compared with the only right one. Who reads its parts instead can be given
    parts that hide a forgery.
    """
    size = (key.modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= key.modulus or size < len(digest) + 11:
        return False
    expected = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    block = pow(number, key.exponent, key.modulus).to_bytes(size, "big")
    return hmac.compare_digest(block, expected)


def read_certificate_key(pem: str) -> RsaKey:
    """Return the public key in an X.509 certificate (RFC 5280, 4.1); raises ValueError."""
    found = SNS_PEM.search(pem)
    if found is None:
        raise ValueError("This is not a certificate.")
    try:
        [(_, certificate)] = read_der(base64.b64decode(found[1]))
        signed = read_der(read_der(certificate)[0][1])
        # version (optional, with a tag of its own), serial number, algorithm, issuer, validity,
        # subject, public key
        key_info = [content for tag, content in signed if tag != 0xA0][5]
        (_, algorithm), (_, bits) = read_der(key_info)
        [(_, key)] = read_der(bits[1:])
        (_, modulus), (_, exponent) = read_der(key)
    except IndexError:
        raise ValueError("The certificate is cut off.") from None
    if not algorithm.startswith(RSA_ENCRYPTION):
        raise ValueError("The certificate has no RSA key.")
    return RsaKey(int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big"))


def read_der(data: bytes) -> list[tuple[int, bytes]]:
    """Return the elements of DER, tag and content (X.690, 8.1); raises ValueError or IndexError."""
    elements = []
    position = 0
    while position < len(data):
        tag, size = data[position], data[position + 1]
        position += 2
        if size & 0x80:  # the number of bytes that the length takes
            after = position + (size & 0x7F)
            size = int.from_bytes(data[position:after], "big")
            position = after
        if position + size > len(data):
            raise ValueError("The element is cut off.")
        elements.append((tag, data[position : position + size]))
        position += size
    return elements


# -------------------------------------------------------------------------------------------------
# Requests: certificates and confirmations, fetched from SNS
# -------------------------------------------------------------------------------------------------


@functools.cache
def _confirmation_pool() -> ThreadPool:
    """Return the native threads for requests to SNS, made when the first one is asked for.

    They are not those of gevent's event loop, which resolve names for everybody.
    """
    return ThreadPool(MAX_CONFIRMATIONS)


def ask_sns(url: str, use_proxy: bool) -> tuple[str, bytes]:
    """Return why a URL of SNS could not be fetched, empty after a success, and what it holds.

    Other greenlets run meanwhile. Raises SnsError where too many are being fetched.
    """
    pool = _confirmation_pool()
    if len(pool) >= MAX_CONFIRMATIONS:
        raise SnsError(
            f"{MAX_CONFIRMATIONS} requests to Amazon SNS are in progress; let SNS send this again.",
            False,
            CONFIRM_AGAIN_SECONDS,
        )
    attempt = pool.spawn(fetch_from_sns, url, use_proxy)
    try:
        fetched: tuple[str, bytes] = attempt.get(timeout=CONFIRM_SECONDS)
    except gevent.Timeout:
        return f"no answer within {CONFIRM_SECONDS} s", b""
    return fetched


def confirm_subscription(url: str, use_proxy: bool) -> None:
    """Fetch the URL that confirms a subscription; raises SnsError."""
    if not SNS_URL.fullmatch(url):
        raise SnsError(
            "SubscribeURL is not an address of Amazon SNS, "
            "https://sns.<region>.amazonaws.com/..., and was not fetched.",
            True,
        )
    failure, _content = ask_sns(url, use_proxy)
    if failure:
        raise SnsError(
            f"The subscription could not be confirmed at Amazon SNS: {failure}. "
            "Let SNS request it again.",
            False,
        )


def fetch_from_sns(url: str, use_proxy: bool) -> tuple[str, bytes]:
    """Return what ask_sns does, after up to CONFIRM_SECONDS a step on a native thread."""
    import requests  # CommonServerPython's own HTTP client; only SNS needs it

    # XSOAR puts a user's own CA certificates there.
    trusted = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True
    with requests.Session() as session:
        session.trust_env = False  # the environment's proxy counts where the instance says so
        session.proxies = requests.utils.get_environ_proxies(url) if use_proxy else {}
        session.verify = trusted
        try:
            with session.get(
                url, timeout=CONFIRM_SECONDS, allow_redirects=False, stream=True
            ) as response:
                content = next(response.iter_content(MAX_CERTIFICATE_BYTES), b"")
                status = response.status_code
        except (requests.RequestException, OSError) as error:
            return type(error).__name__, b""
    return ("", content) if status == 200 else (f"it answered {status}", b"")
