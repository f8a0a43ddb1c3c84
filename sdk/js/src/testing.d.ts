import type { Datum, Engine, Failure, Fields, Provider, Value } from "./index.js";

/** A call's surroundings. Credentials by the JSON Pointer of their field. */
export interface Call {
  config?: unknown;
  credentials?: Record<string, Value>;
  session?: Value;
  namespace?: string;
  options?: Record<string, string>;
}

export interface Asked {
  key: string;
  version?: string;
  metadata?: boolean;
  picks?: { property?: string; members?: boolean }[];
  known?: string;
}

export interface Outcome {
  tag?: string;
  unchanged?: true;
  failure?: Failure;
  parts?: (string | Uint8Array | Record<string, string | Uint8Array> | Failure)[];
}

export interface SentRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: Uint8Array | null;
}

export interface TestProvider {
  readonly requests: SentRequest[];
  readonly logs: { level: string; message: string; fields: Record<string, string> }[];
  describe(): any;
  examine(config: unknown, credentials?: Record<string, Value>): any;
  probe(call: Call): void;
  read(call: Call, asked: Asked[]): Outcome[];
  login?: Record<"open" | "renew" | "close", (call: Call) => any>;
  find?: (call: Call, query?: { path?: string; tags?: Record<string, string>; name?: string }, after?: string | null) => any;
}

export function testProvider(plugin: Provider<any>, host?: {
  http?: (request: SentRequest) => { status?: number; headers?: Record<string, string>; body?: Value } | Failure;
  files?: Record<string, Record<string, Value>>;
  nowMs?: number;
}): TestProvider;

export function testEngine(plugin: Engine, host?: { nowMs?: number }): {
  describe(): any;
  render(source: string, data?: Datum[], options?: Fields): string;
  check(source: string, options?: Fields): any[];
};
