"""What stands between the host and a provider."""

from __future__ import annotations

import json
import logging
import unittest
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from postern_sdk import (
    Absent,
    Context,
    Credential,
    Credentials,
    Denied,
    Descriptor,
    Engine,
    Failure,
    Host,
    HostHandler,
    HttpResponse,
    InvalidConfig,
    Job,
    Needs,
    Outcome,
    Pick,
    Problem,
    Provider,
    Request,
    SecretKey,
    Session,
    Template,
)
from postern_sdk import calls
from postern_sdk.testing import FakeHost, context, examine, read


@dataclass(frozen=True)
class Config:
    token: SecretKey | None = None


class Scripted(Provider[Config]):
    """Does what a test says."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def describe(self) -> Descriptor:
        return Descriptor("scripted", "1", ["scripted"])

    def examine(self, config: Config, credentials: Credentials, options: object) -> Needs:
        if self.answer:
            raise self.answer
        return Needs()

    def probe(self, host: Host, context: Context[Config]) -> None:
        raise KeyError("hunter2")

    def read(self, host: Host, context: Context[Config], requests: Sequence[Request]) -> Sequence[Outcome]:
        outcomes: Sequence[Outcome] = self.answer(context, requests)
        return outcomes


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    return [o.answer.code if isinstance(o.answer, Failure) else "none" for o in outcomes]


class Calls(unittest.TestCase):
    def test_makes_the_schema_of_the_config_class(self) -> None:
        text = calls.describe(Scripted()).config_schema
        assert isinstance(text, str)
        self.assertIn("token", json.loads(text)["properties"])

    def test_gives_the_config_as_its_class(self) -> None:
        def answer(context: Context[Config], requests: Sequence[Request]) -> list[Outcome]:
            assert context.config.token
            return [Outcome([context.credentials.text(context.config.token)])]

        outcome = read(Scripted(answer), FakeHost(), [Request("a")], {"token": {"name": "n"}}, {"/token": b"tok\n"})
        self.assertEqual(outcome, [Outcome(["tok"])])

    def test_a_raised_failure_is_the_outcome_of_all(self) -> None:
        def answer(*_: object) -> list[Outcome]:
            raise Denied("no")

        outcomes = read(Scripted(answer), FakeHost(), [Request("a"), Request("b")], {})
        self.assertEqual(failures(outcomes), ["denied", "denied"])

    def test_a_fault_tells_its_kind_and_place_and_never_its_text(self) -> None:
        with self.assertRaises(Failure) as raised:
            calls.probe(Scripted(), FakeHost(), context({}))
        self.assertEqual(raised.exception.code, "internal")
        self.assertRegex(raised.exception.message, r"KeyError at test_calls\.py:\d+")
        self.assertNotIn("hunter2", raised.exception.message)

    def test_refuses_answers_of_the_wrong_shape(self) -> None:
        for wrong in ([], [Outcome([b"1", b"2"])], [Outcome.unchanged()]):
            with self.subTest(wrong):
                outcomes = read(Scripted(lambda *_: wrong), FakeHost(), [Request("a")], {})  # noqa: B023
                self.assertEqual(failures(outcomes), ["internal"])

    def test_a_config_that_does_not_parse_is_a_problem_of_examine_and_a_failure_of_read(self) -> None:
        with self.assertRaises(InvalidConfig) as raised:
            examine(Scripted(), {"tokn": {}})
        self.assertEqual([p.pointer for p in raised.exception.problems], ["/tokn"])
        self.assertEqual(failures(read(Scripted(), FakeHost(), [Request("a")], {"tokn": {}})), ["invalid-config"])

    def test_examine_turns_any_failure_into_a_problem(self) -> None:
        with self.assertRaises(InvalidConfig) as raised:
            examine(Scripted(ValueError("hunter2")), {})
        self.assertNotIn("hunter2", str(raised.exception))

    def test_a_failed_pick_is_no_others(self) -> None:
        def take(pick: Pick) -> bytes:
            if pick.property:
                raise Absent("no such property")
            return b"v"

        outcome = Request("a", [Pick(), Pick("x")]).outcome(take, tag="1")
        assert isinstance(outcome.answer, list)
        self.assertEqual(outcome.answer[0], b"v")
        self.assertIsInstance(outcome.answer[1], Absent)

    def test_an_engine_that_breaks_fails_every_template(self) -> None:
        class Broken(Engine):
            def describe(self) -> Descriptor:
                return Descriptor("e", "1", ["e"])

            def render(self, host: Host, jobs: Sequence[Job], options: dict[str, str]) -> Sequence[Any]:
                raise ZeroDivisionError

        jobs = [Job([Template("a", ""), Template("b", "")], []), Job([], [])]
        results = calls.render(Broken(), FakeHost(), jobs, {})
        self.assertEqual([[getattr(r, "code", None) for r in job] for job in results], [["internal"] * 2, []])


class Secrets(unittest.TestCase):
    def test_stay_out_of_what_is_printed(self) -> None:
        secret = b"hunter2"
        shown = [
            Credential("/a", secret),
            context({}, {"/a": secret}, session=secret),
            Outcome([secret]),
            Session(secret),
            HttpResponse(200, {"set-cookie": "hunter2"}, secret),
        ]
        self.assertNotIn("hunter2", repr(shown))

    def test_a_missing_credential_is_a_problem_at_its_reference(self) -> None:
        with self.assertRaises(InvalidConfig) as raised:
            Credentials().text(SecretKey("n", pointer="/token"))
        self.assertEqual([p.pointer for p in raised.exception.problems], ["/token"])


class Logging(unittest.TestCase):
    def test_leads_to_the_hosts_log_without_the_text_of_exceptions(self) -> None:
        host = FakeHost()
        log = logging.Logger("x")
        log.addHandler(HostHandler(host))
        log.debug("read %s", "db", extra={"fields": {"status": 200}})
        try:
            raise ValueError("hunter2")
        except ValueError:
            log.exception("broke")
        self.assertEqual(
            host.logged,
            [("debug", "read db", {"status": 200}), ("error", "broke", {"exception": "ValueError"})],
        )


class Failures(unittest.TestCase):
    def test_keep_a_code_that_is_not_known(self) -> None:
        self.assertEqual(Failure.of("teapot", "m").code, "teapot")
        self.assertIsInstance(Failure.of("absent", "m"), Absent)

    def test_an_invalid_config_reads_as_its_problems(self) -> None:
        failure = InvalidConfig(Problem("/a", "is wrong"), "is all wrong")
        self.assertEqual(failure.message, "/a: is wrong; is all wrong")
