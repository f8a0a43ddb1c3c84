//! Reads of a batch: one GET an object, all at once. The API server has no conditional GET, so `unchanged` saves what
//! comes after the answer, not the request.

use postern_sdk::{Answer, Failure, Host, HttpRequest, HttpResponse, Outcome, Request, each};

use crate::config::Config;
use crate::object::Secret;
use crate::wire::{Server, Tried, body, secret_path};

/// One outcome a request, in order.
pub fn get_batch(
    host: &dyn Host,
    config: &Config,
    server: &Server,
    requests: &[Request],
) -> Vec<Outcome> {
    let built: Vec<Result<HttpRequest, Failure>> = requests
        .iter()
        .map(|r| secret_path(&config.namespace, &r.key).map(|p| server.request("GET", &p, None)))
        .collect();
    let to_send: Vec<HttpRequest> = built.iter().flatten().cloned().collect();
    let mut answers = host.send_all(&to_send).into_iter();
    let mut outcomes = Vec::with_capacity(requests.len());
    for (request, built) in requests.iter().zip(built) {
        let answer = built.and_then(|_| {
            let fewer = || Failure::internal("the host gave fewer answers than requests");
            answers.next().unwrap_or_else(|| Err(fewer()))
        });
        let outcome = answer.and_then(|response| outcome(config, request, &response));
        outcomes.push(outcome.unwrap_or_else(Outcome::failed));
    }
    outcomes
}

fn outcome(
    config: &Config,
    request: &Request,
    response: &HttpResponse,
) -> Result<Outcome, Failure> {
    let tried = Tried {
        verb: "get",
        resource: "secrets",
        namespace: &config.namespace,
        name: Some(&request.key),
    };
    let secret: Secret = body(response, tried)?;
    let tag = secret.tag();
    if tag.is_some() && tag == request.known {
        return Ok(Outcome {
            answer: Answer::Unchanged,
            tag,
            options: Vec::new(),
        });
    }
    let parts = each(&request.picks, |pick| secret.take(request.metadata, pick));
    Ok(Outcome::parts(parts, tag))
}
