"""The provider against answers of Doppler, without a component."""

from __future__ import annotations

import json
import unittest
from typing import Any

from postern_sdk import Failure, HttpRequest, HttpResponse, InvalidConfig, Outcome, Pick, Reference, Request, Unavailable
from postern_sdk.calls import describe
from postern_sdk.testing import FakeHost, examine, probe, read

from doppler import provider

TOKEN = {"/auth/secretRef/dopplerToken": b"dp.st.hunter2\n"}
AUTH = {"secretRef": {"dopplerToken": {"name": "t"}}}
CONFIG: dict[str, Any] = {"auth": AUTH, "project": "my app", "config": "dev", "baseUrl": "http://doppler.test:1"}
SECRETS = {"PLAIN": "text", "DB": '{"user": "u", "port": 5432, "tls": {"on": true}}'}


def doppler(status: int = 200, body: bytes | None = None, **headers: str) -> FakeHost:
    content = json.dumps(SECRETS).encode() if body is None else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return FakeHost(lambda _: HttpResponse(status, named, content))


def failure(outcome: Outcome) -> Failure:
    assert isinstance(outcome.answer, Failure)
    return outcome.answer


class Config(unittest.TestCase):
    def test_needs_the_token_and_the_api(self) -> None:
        needs = examine(provider, {"auth": AUTH})
        token = Reference("/auth/secretRef/dopplerToken", options={"default-key": "dopplerToken"})
        self.assertEqual(list(needs.references), [token])
        self.assertEqual([e.origin for e in needs.endpoints], ["https://api.doppler.com"])

    def test_base_url_is_a_bare_origin(self) -> None:
        for url in ("doppler.test", "ftp://d", "https://d/v3", "https://u:p@d", "https://d?x=1", ""):
            with self.subTest(url), self.assertRaises(InvalidConfig) as raised:
                examine(provider, {**CONFIG, "baseUrl": url})
            self.assertEqual([p.pointer for p in raised.exception.problems], ["/baseUrl"])

    def test_only_json_is_supported(self) -> None:
        examine(provider, {**CONFIG, "format": "json"})
        with self.assertRaises(InvalidConfig) as raised:
            examine(provider, {**CONFIG, "format": "yaml"})
        self.assertEqual([p.pointer for p in raised.exception.problems], ["/format"])

    def test_the_schema_marks_the_token_and_refuses_other_fields(self) -> None:
        text = describe(provider).config_schema
        assert isinstance(text, str)
        schema = json.loads(text)
        token = schema["properties"]["auth"]["properties"]["secretRef"]["properties"]["dopplerToken"]
        self.assertEqual(token["x-postern-ref"], "secret-key")
        self.assertEqual(schema["required"], ["auth"])
        self.assertIs(schema["additionalProperties"], False)


class Read(unittest.TestCase):
    def test_asks_once_for_all(self) -> None:
        host = doppler(etag='"1"')
        outcomes = read(
            provider,
            host,
            [
                Request("PLAIN"),
                Request("DB", [Pick(), Pick("tls.on"), Pick(members=True), Pick("tls", members=True), Pick("no")]),
            ],
            {**CONFIG, "nameTransformer": "lower-kebab"},
            TOKEN,
        )
        self.assertEqual([o.tag for o in outcomes], ['"1"', '"1"'])
        self.assertEqual(outcomes[0].answer, [b"text"])
        *taken, missing = outcomes[1].answer  # type: ignore[misc]
        members = {"user": b"u", "port": b"5432", "tls": b'{"on":true}'}
        self.assertEqual(taken, [SECRETS["DB"].encode(), b"true", members, {"on": b"true"}])
        assert isinstance(missing, Failure)
        self.assertEqual(missing.code, "absent")
        (sent,) = host.requests
        self.assertEqual(
            sent.url,
            "http://doppler.test:1/v3/configs/config/secrets/download"
            "?format=json&project=my%20app&config=dev&name_transformer=lower-kebab",
        )
        self.assertEqual(sent.headers, {"accept": "application/json", "authorization": "Bearer dp.st.hunter2"})
        self.assertEqual(sent.method, "GET")

    def test_asks_nothing_for_nothing(self) -> None:
        host = FakeHost()
        self.assertEqual(read(provider, host, [], CONFIG, TOKEN), [])
        self.assertEqual(host.requests, [])

    def test_offers_a_tag_only_if_all_have_seen_it(self) -> None:
        for known, sent in ((['"1"', '"1"'], '"1"'), (['"1"', None], None), (['"1"', '"2"'], None), ([None], None)):
            with self.subTest(known):
                host = doppler()
                read(provider, host, [Request("PLAIN", known=tag) for tag in known], CONFIG, TOKEN)
                self.assertEqual(host.requests[0].headers.get("if-none-match"), sent)

    def test_says_unchanged_where_doppler_does(self) -> None:
        outcomes = read(provider, doppler(304, b"", etag='"1"'), [Request("PLAIN", known='"1"')] * 2, CONFIG, TOKEN)
        self.assertEqual(outcomes, [Outcome.unchanged('"1"')] * 2)

    def test_a_missing_key_is_absent_and_no_others_failure(self) -> None:
        gone, there = read(provider, doppler(), [Request("GONE"), Request("PLAIN")], CONFIG, TOKEN)
        self.assertEqual(failure(gone).code, "absent")
        self.assertEqual(there.answer, [b"text"])

    def test_has_neither_versions_nor_metadata(self) -> None:
        requests = [Request("PLAIN", version="1"), Request("PLAIN", metadata=True)]
        outcomes = read(provider, doppler(), requests, CONFIG, TOKEN)
        self.assertEqual([failure(o).code for o in outcomes], ["unsupported", "unsupported"])

    def test_a_text_has_no_members(self) -> None:
        (outcome,) = read(provider, doppler(), [Request("PLAIN", [Pick(members=True)])], CONFIG, TOKEN)
        self.assertEqual(outcome.answer[0].code, "invalid-request")  # type: ignore[index,union-attr]

    def test_a_status_fails_all_and_repeats_nothing(self) -> None:
        codes = {
            401: "unauthenticated",
            403: "denied",
            404: "not-found",
            429: "rate-limited",
            500: "unavailable",
            503: "unavailable",
            302: "internal",
            418: "internal",
        }
        for status, code in codes.items():
            with self.subTest(status):
                host = doppler(status, b'{"messages": ["hunter2"]}', retry_after="3")
                outcomes = read(provider, host, [Request("PLAIN"), Request("DB")], CONFIG, TOKEN)
                self.assertEqual([failure(o).code for o in outcomes], [code, code])
                self.assertIn("config dev of project my app", failure(outcomes[0]).message)
                self.assertNotIn("hunter2", failure(outcomes[0]).message)
                if status == 429:
                    self.assertEqual(failure(outcomes[0]).retry_after_ms, 3000)

    def test_a_body_that_is_no_object_is_internal(self) -> None:
        for body in (b"<html>hunter2", b'["hunter2"]', b"", b"\xff"):
            with self.subTest(body):
                (outcome,) = read(provider, doppler(body=body), [Request("PLAIN")], CONFIG, TOKEN)
                self.assertEqual(failure(outcome).code, "internal")
                self.assertNotIn("hunter2", failure(outcome).message)

    def test_passes_on_what_the_host_says_of_the_network(self) -> None:
        said = Unavailable("cannot connect", detail={"door": "http"})

        def refuse(_: HttpRequest) -> HttpResponse:
            raise said

        (outcome,) = read(provider, FakeHost(refuse), [Request("PLAIN")], CONFIG, TOKEN)
        self.assertIs(outcome.answer, said)


class Probe(unittest.TestCase):
    def test_asks_who_the_token_belongs_to(self) -> None:
        host = doppler()
        probe(provider, host, CONFIG, TOKEN)
        self.assertEqual(host.requests[0].url, "http://doppler.test:1/v3/me")

    def test_fails_where_doppler_refuses(self) -> None:
        with self.assertRaises(Failure) as raised:
            probe(provider, doppler(401), CONFIG, TOKEN)
        self.assertEqual(raised.exception.code, "unauthenticated")
