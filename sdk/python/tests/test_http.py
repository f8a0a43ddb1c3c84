"""Requests, what a status means, and values."""

from __future__ import annotations

import unittest

from postern_sdk import Absent, HttpRequest, HttpResponse, InvalidRequest, Pick, Unavailable
from postern_sdk.http import origin, query
from postern_sdk.testing import FakeHost
from postern_sdk.values import take


class Status(unittest.TestCase):
    def test_means_a_failure_by_its_class(self) -> None:
        codes = {
            200: None,
            204: None,
            302: "internal",
            400: "internal",
            401: "unauthenticated",
            403: "denied",
            404: "not-found",
            429: "rate-limited",
            500: "unavailable",
            503: "unavailable",
        }
        for status, code in codes.items():
            with self.subTest(status):
                failure = HttpResponse(status, body=b"hunter2").failure("reading x")
                self.assertEqual(failure and failure.code, code)
                self.assertNotIn("hunter2", str(failure))

    def test_can_mean_something_else_to_a_backend(self) -> None:
        self.assertIsInstance(HttpResponse(404).failure("reading x", {404: Absent}), Absent)

    def test_passes_on_how_long_to_wait(self) -> None:
        for text, expected in (("7", 7000), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("٣", None)):
            with self.subTest(text):
                failure = HttpResponse(429, {"retry-after": text}).failure("reading x")
                assert failure
                self.assertEqual(failure.retry_after_ms, expected)


class Http(unittest.TestCase):
    def test_a_failed_exchange_is_raised_alone_and_listed_among_many(self) -> None:
        def answer(request: HttpRequest) -> HttpResponse:
            if request.url.endswith("b"):
                raise Unavailable("down")
            return HttpResponse(200)

        host = FakeHost(answer)
        good, bad = host.http.send_all([HttpRequest("GET", "http://h/a"), HttpRequest("GET", "http://h/b")])
        self.assertEqual(good, HttpResponse(200))
        self.assertIsInstance(bad, Unavailable)
        with self.assertRaises(Unavailable):
            host.http.get("http://h/b")
        self.assertEqual(host.batches, [2, 1])

    def test_origins_are_checked(self) -> None:
        self.assertEqual(origin("https://h:8200/a/b"), "https://h:8200")
        self.assertEqual(origin("http://[::1]:80", path=False), "http://[::1]:80")
        for wrong in ("h", "ftp://h", "http://", "http://u@h", "http://h?a=1", "http://h:x", "http://h /", "http://h#"):
            with self.subTest(wrong), self.assertRaises(ValueError):
                origin(wrong)
        with self.assertRaises(ValueError):
            origin("http://h/", path=False)

    def test_queries_keep_their_order_and_leave_out_what_is_none(self) -> None:
        self.assertEqual(query({"b": "x y/z", "a": None, "c": "é"}), "?b=x%20y%2Fz&c=%C3%A9")
        self.assertEqual(query({"a": None}), "")


class Values(unittest.TestCase):
    BODY = b'{"a": {"b": [1, {"c": "x"}], "d.e": true}, "t": "text"}'

    def test_properties_are_texts_as_they_are_and_others_as_json(self) -> None:
        for path, expected in (("t", b"text"), ("a.b.0", b"1"), ("a.b.1.c", b"x"), ("a.d\\.e", b"true"), ("a.b", b'[1,{"c":"x"}]')):
            with self.subTest(path):
                self.assertEqual(take(self.BODY, Pick(path), of="x"), expected)

    def test_what_is_not_there_is_absent(self) -> None:
        for body, path in ((self.BODY, "no"), (self.BODY, "a.b.2"), (self.BODY, "t.x"), (b"no json", "a"), (b"\xff", "a")):
            with self.subTest(path), self.assertRaises(Absent) as raised:
                take(body, Pick(path), of="x")
            self.assertNotIn("no json", str(raised.exception))

    def test_members_are_those_of_an_object(self) -> None:
        self.assertEqual(take(b'{"a": "x", "n": 1}', Pick(members=True), of="x"), {"a": b"x", "n": b"1"})
        for body in (b"[1]", b"text", b""):
            with self.subTest(body), self.assertRaises(InvalidRequest):
                take(body, Pick(members=True), of="x")

    def test_the_whole_is_the_bytes_as_they_are(self) -> None:
        self.assertEqual(take(b"\xff\x00", Pick(), of="x"), b"\xff\x00")
