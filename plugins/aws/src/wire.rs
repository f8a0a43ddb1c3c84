//! Operations of Secrets Manager and Parameter Store: one signed POST each, JSON in and out.

use postern_sdk::{Context, Failure, Host, HttpRequest, HttpResponse};
use serde_json::Value;

use crate::clock;
use crate::config::Config;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::sigv4::{Key, Request, Signer};

const JSON: &str = "application/x-amz-json-1.1";

/// An operation and its parameters.
pub struct Operation {
    /// Its name, such as `GetSecretValue`.
    pub name: &'static str,
    /// What it is asked.
    pub body: Value,
    /// What it is about, for messages.
    pub what: String,
}

/// Why an operation gave no answer.
pub enum Miss {
    /// AWS refused.
    Refused(Refusal),
    /// There was no exchange, or its answer cannot be read.
    Failed(Failure),
}

/// Asks as one session.
pub struct Client<'a> {
    host: &'a dyn Host,
    config: &'a Config,
    session: Session,
    key: Key,
}

impl<'a> Client<'a> {
    /// A client with the session of a call.
    ///
    /// # Errors
    /// `internal` where the call has none.
    pub fn new(host: &'a dyn Host, config: &'a Config, context: &Context) -> Result<Self, Failure> {
        let session = Session::of(context)?;
        let key = session.derived()?;
        Ok(Self {
            host,
            config,
            session,
            key,
        })
    }

    /// The host's time, for what is remembered by the day.
    #[must_use]
    pub fn today(&self) -> String {
        clock::date(clock::now(self.host))
    }

    /// One operation.
    ///
    /// # Errors
    /// Why it gave no answer.
    pub fn ask(&self, operation: &Operation) -> Result<Value, Miss> {
        self.ask_all(std::slice::from_ref(operation))
            .pop()
            .unwrap_or_else(|| Err(Miss::Failed(no_answer())))
    }

    /// Operations beside each other; answers in their order.
    #[must_use]
    pub fn ask_all(&self, operations: &[Operation]) -> Vec<Result<Value, Miss>> {
        let sent = self.send(operations.iter(), self.session.skew);
        let mut answers: Vec<Result<Value, Miss>> = operations
            .iter()
            .zip(sent)
            .map(|(operation, response)| answer(operation, response))
            .collect();
        self.correct(operations, &mut answers);
        answers
    }

    /// The failure of an operation.
    #[must_use]
    pub fn failure(&self, miss: &Miss, what: &str) -> Failure {
        match miss {
            Miss::Refused(refusal) => refusal.failure(what, &self.secrets()),
            Miss::Failed(failure) => failure.clone(),
        }
    }

    /// Sends once more, by AWS's time, what was refused for its time.
    fn correct(&self, operations: &[Operation], answers: &mut [Result<Value, Miss>]) {
        let now = clock::now(self.host);
        let skew = answers.iter().find_map(|answer| match answer {
            Err(Miss::Refused(refusal)) => refusal.skew(now),
            _ => None,
        });
        let Some(skew) = skew.filter(|skew| *skew != self.session.skew) else {
            return;
        };
        let late: Vec<usize> = (0..answers.len())
            .filter(|at| matches!(&answers[*at], Err(Miss::Refused(r)) if r.skew(now).is_some()))
            .collect();
        let sent = self.send(late.iter().map(|at| &operations[*at]), skew);
        for (at, response) in late.into_iter().zip(sent) {
            answers[at] = answer(&operations[at], response);
        }
    }

    fn send<'o>(
        &self,
        operations: impl Iterator<Item = &'o Operation>,
        skew: i64,
    ) -> Vec<Result<HttpResponse, Failure>> {
        let requests: Vec<HttpRequest> = operations.map(|o| self.request(o, skew)).collect();
        let wanted = requests.len();
        let mut sent = self.host.send_all(&requests);
        sent.resize_with(wanted, || Err(no_answer()));
        sent
    }

    fn request(&self, operation: &Operation, skew: i64) -> HttpRequest {
        let service = self.config.service;
        let target = format!("{}.{}", service.target(), operation.name);
        let body = operation.body.to_string().into_bytes();
        let now = clock::shifted(clock::now(self.host), skew);
        let base = &self.session.base;
        let headers = [("content-type", JSON), ("x-amz-target", target.as_str())];
        let signer = Signer {
            id: &self.session.id,
            session_token: self.session.token.as_deref(),
            key: &self.key,
            region: self.config.region.as_str(),
            service: service.id(),
        };
        let mut signed = signer.sign(&Request {
            method: "POST",
            host: base.split_once("://").map_or("", |(_, host)| host),
            path: "/",
            headers: &headers,
            body: &body,
            stamp: &clock::stamp(clock::clamped(now, self.session.day)),
        });
        signed.extend(headers.map(|(n, v)| (n.to_owned(), v.to_owned())));
        HttpRequest {
            method: "POST".to_owned(),
            url: format!("{base}/"),
            headers: signed,
            body: Some(body),
            options: Vec::new(),
        }
    }

    fn secrets(&self) -> Vec<&str> {
        self.session.token.as_deref().into_iter().collect()
    }
}

fn answer(operation: &Operation, response: Result<HttpResponse, Failure>) -> Result<Value, Miss> {
    let response = response.map_err(Miss::Failed)?;
    if response.status != 200 {
        return Err(Miss::Refused(Refusal::of(&response)));
    }
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    body.filter(Value::is_object).ok_or_else(|| {
        Miss::Failed(Failure::unavailable(format!(
            "the answer to {} for {} is no JSON object, so not AWS's",
            operation.name, operation.what
        )))
    })
}

fn no_answer() -> Failure {
    Failure::internal("the host gave fewer answers than requests")
}
