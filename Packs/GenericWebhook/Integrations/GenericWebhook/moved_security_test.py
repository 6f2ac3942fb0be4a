"""Tests of the security module that need Settings; the lead merges them into GenericWebhook_test.py."""


class TestMovedFromSecurity:
    @pytest.mark.parametrize(
        "username, password, words",
        [
            ("_standard-webhooks", "whsec_", "whsec_ followed by base64"),
            ("_standard-webhooks", "whsec_%%%", "whsec_ followed by base64"),
            (
                "_standard-webhooks",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw nö",
                "whsec_ followed by base64",
            ),
            ("_standard-webhooks", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "asymmetric"),
            ("_slack", "xoxb-1-2", "Signing Secret"),
            ("_stripe:Stripe-Signature", "sk_live_1", "signing secret, whsec_"),
            ("_hmac:X-Sum", "  ", "white space"),
            ("_query:token", "\t", "white space"),
        ],
    )
    def test_test_explains_a_malformed_secret(
        self, username: str, password: str, words: str
    ) -> None:
        """
        Given: a secret that nothing can be signed with, or the wrong one of a vendor's secrets
        When: the Test button is pressed
        Then: it names the parameter and the mend, shows nothing of the secret, and nobody gets in meanwhile
        """
        read = settings(credentials=credentials(username, password))
        with pytest.raises(ValueError, match=r"^Password: ") as mistake:
            webhook.test_module(read)
        assert words in str(mistake.value)
        assert password.strip()[8:] == "" or password.strip()[8:] not in str(mistake.value)
        refused(lambda: read.authenticator.verify_headers({}, ""))


@pytest.mark.parametrize("vendor", HANDSHAKES)
class TestMovedHandshakes:
    def test_a_parameter_turns_it_off(self, vendor: str) -> None:
        request, *_ = HANDSHAKES[vendor]
        for proven in (True, False):
            assert (
                webhook.answer_handshake(request, self.instance(vendor, handshakes="false"), proven)
                is None
            )
        assert not webhook.may_be_handshake(
            request.method, request.headers, self.instance(vendor, handshakes=False)
        )


class TestMovedProbes:
    @pytest.mark.parametrize(
        "method, headers, may",
        [
            ("POST", {"content-length": "1"}, True),
            ("POST", {"content-length": "8192"}, True),
            ("POST", {"content-length": "8193"}, False),
            ("POST", {"content-length": "0"}, True),
            ("POST", {}, True),
            ("POST", {"transfer-encoding": "chunked"}, False),
            ("POST", {"content-length": "20", "content-encoding": "gzip"}, False),
            ("POST", {"content-length": "20", "expect": "100-continue"}, False),
            ("GET", {"content-length": "9999"}, True),
            ("OPTIONS", {}, True),
            ("PUT", {"content-length": "20"}, False),
        ],
    )
    def test_a_stranger_makes_us_read_8_kib_at_most(
        self, method: str, headers: dict[str, str], may: bool
    ) -> None:
        assert webhook.may_be_handshake(method, headers, settings()) == may


class TestMovedSources:
    @pytest.mark.parametrize(
        "value",
        ["192.0.2.0/33", "example.com", "192.0.2", "192.0.2.1-192.0.2.9", "192.0.2.*", "::/129"],
    )
    @pytest.mark.parametrize(
        "parameter, name",
        [("Allowed sources", "allowed_sources"), ("Trusted proxies", "trusted_proxies")],
    )
    def test_a_mistyped_network_is_named_and_lets_nobody_in(
        self, parameter: str, name: str, value: str
    ) -> None:
        read = settings(**{name: f"192.0.2.1, {value}"})
        with pytest.raises(
            ValueError, match=f"^{parameter}: {re.escape(value)} is no address and no CIDR block"
        ):
            webhook.test_module(read)
        refused(lambda: read.authenticator.verify_headers({}, ""))
