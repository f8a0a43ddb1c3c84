from __future__ import annotations

import unittest

from postern_sdk import Failure, HttpRequest, HttpResponse, InvalidConfig, Outcome, Pick, Request
from postern_sdk.testing import FakeHost, examine, read

from provider import provider

CONFIG = {"url": "https://secrets.example.com/v1", "auth": {"secretRef": {"token": {"name": "t", "key": "token"}}}}
TOKEN = {"/auth/secretRef/token": b"hunter2\n"}
OBJECTS = {"app/db%20main.json": b'{"user":"root","port":5432}', "plain": b"text"}


def server(request: HttpRequest) -> HttpResponse:
    body = OBJECTS.get(request.url.removeprefix("https://secrets.example.com/v1/"))
    return HttpResponse(404) if body is None else HttpResponse(200, {"etag": '"1"'}, body)


def code(outcome: Outcome) -> str:
    assert isinstance(outcome.answer, Failure)
    return outcome.answer.code


class TemplateProviderTest(unittest.TestCase):
    def test_needs_the_token_and_the_server_of_the_config(self) -> None:
        needs = examine(provider, CONFIG)
        self.assertEqual([r.pointer for r in needs.references], ["/auth/secretRef/token"])
        self.assertEqual([e.origin for e in needs.endpoints], ["https://secrets.example.com"])

    def test_says_which_field_of_the_config_is_wrong(self) -> None:
        with self.assertRaises(InvalidConfig) as raised:
            examine(provider, {"url": "example.com"})
        self.assertEqual([p.pointer for p in raised.exception.problems], ["/url"])

    def test_reads_objects_properties_and_members(self) -> None:
        host = FakeHost(server)
        wanted = [Request("plain"), Request("app/db main.json", [Pick("port"), Pick(members=True), Pick("nope")])]
        plain, db = read(provider, host, wanted, CONFIG, TOKEN)
        self.assertEqual(plain, Outcome([b"text"], '"1"'))
        port, members, nope = db.answer  # type: ignore[misc]
        self.assertEqual((port, members), (b"5432", {"user": b"root", "port": b"5432"}))
        assert isinstance(nope, Failure)
        self.assertEqual(nope.code, "absent")
        self.assertEqual(host.requests[0].headers["authorization"], "Bearer hunter2")
        self.assertEqual(host.batches, [2])

    def test_fails_the_object_that_is_not_there_and_no_other(self) -> None:
        gone, plain = read(provider, FakeHost(server), [Request("gone"), Request("plain")], CONFIG, TOKEN)
        self.assertEqual(code(gone), "absent")
        self.assertEqual(plain.answer, [b"text"])

    def test_asks_only_for_what_has_changed(self) -> None:
        host = FakeHost(lambda _: HttpResponse(304))
        self.assertEqual(read(provider, host, [Request("a", known='"1"')], CONFIG, TOKEN), [Outcome.unchanged('"1"')])
        self.assertEqual(host.requests[0].headers["if-none-match"], '"1"')

    def test_tells_refusals_apart_and_repeats_no_body(self) -> None:
        for status, expected in ((401, "unauthenticated"), (403, "denied"), (429, "rate-limited"), (500, "unavailable")):
            with self.subTest(status):
                host = FakeHost(lambda _: HttpResponse(status, {}, b"secret words"))  # noqa: B023
                (outcome,) = read(provider, host, [Request("a")], CONFIG, TOKEN)
                self.assertEqual(code(outcome), expected)
                self.assertNotIn("secret words", str(outcome.answer))
