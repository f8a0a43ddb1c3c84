"""Typed configs: what a class says is what its schema and its parser say."""

from __future__ import annotations

import unittest
from dataclasses import dataclass, field
from typing import Literal

from postern_sdk import CaProvider, InvalidConfig, Problem, SecretKey, ServiceAccount, setting
from postern_sdk.config import parse, schema


@dataclass(frozen=True)
class Auth:
    token: SecretKey
    account: ServiceAccount | None = None


@dataclass(frozen=True)
class Config:
    server_url: str = setting(description="Where.", min_length=1)
    auth: Auth | None = None
    mode: Literal["a", "b"] = "a"
    retries: int = 3
    tags: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    ca: CaProvider | None = setting(default=None, name="caProvider")


class Schema(unittest.TestCase):
    def test_says_what_the_class_says(self) -> None:
        made = schema(Config)
        self.assertEqual(made["required"], ["serverUrl"])
        self.assertFalse(made["additionalProperties"])
        properties = made["properties"]
        self.assertEqual(properties["serverUrl"], {"type": "string", "description": "Where.", "minLength": 1})
        self.assertEqual(properties["mode"], {"enum": ["a", "b"], "default": "a"})
        self.assertEqual(properties["retries"], {"type": "integer", "default": 3})
        self.assertEqual(properties["tags"], {"type": "array", "items": {"type": "string"}})
        self.assertEqual(properties["headers"]["additionalProperties"], {"type": "string"})

    def test_marks_references_with_their_kind(self) -> None:
        properties = schema(Config)["properties"]
        self.assertEqual(properties["caProvider"]["x-postern-ref"], "ca-provider")
        token = properties["auth"]["properties"]["token"]
        self.assertEqual(token["x-postern-ref"], "secret-key")
        self.assertEqual(sorted(token["properties"]), ["key", "name", "namespace"])
        self.assertEqual(token["required"], ["name"])
        account = properties["auth"]["properties"]["account"]
        self.assertEqual(account["x-postern-ref"], "service-account")


class Parse(unittest.TestCase):
    def test_fills_defaults_and_tells_references_where_they_stand(self) -> None:
        config = parse(Config, {"serverUrl": "u", "auth": {"token": {"name": "n", "key": "k"}}})
        self.assertEqual(config.retries, 3)
        self.assertEqual(config.auth, Auth(SecretKey("n", key="k", pointer="/auth/token")))

    def test_names_every_problem_by_its_pointer_and_quotes_no_value(self) -> None:
        wrong = {
            "auth": {"token": {"name": 5}},
            "mode": "hunter2",
            "retries": True,
            "tags": ["x", 1],
            "a/b": "hunter2",
        }
        with self.assertRaises(InvalidConfig) as raised:
            parse(Config, wrong)
        pointers = [problem.pointer for problem in raised.exception.problems]
        self.assertEqual(pointers, ["/serverUrl", "/auth/token/name", "/mode", "/retries", "/tags/1", "/a~1b"])
        self.assertNotIn("hunter2", str(raised.exception))

    def test_takes_null_for_what_may_be_missing(self) -> None:
        self.assertIsNone(parse(Config, {"serverUrl": "u", "auth": None}).auth)

    def test_refuses_a_config_that_is_no_object(self) -> None:
        with self.assertRaises(InvalidConfig) as raised:
            parse(Config, [])
        self.assertEqual(raised.exception.problems, (Problem("", "must be an object"),))
