//! Reads of a batch: what every pick asks for is rendered in one call of the engine, equal requests are sent once, and
//! all at once. A tag that is known goes along as `If-None-Match`.

use postern_sdk::{
    Answer, Context, Failure, Host, HttpRequest, HttpResponse, Outcome, Part, Pick, Request,
};

use crate::config::Config;
use crate::result;
use crate::templates::{Ask, Wanted, asks};

/// Requests of one call: as many as the host lets through.
const MOST: usize = 256;

/// The longest tag that the host takes.
const TAG_LIMIT: usize = 1024;

type Sent = Result<HttpResponse, Failure>;

/// One outcome a request, in order.
pub fn get_batch(
    host: &dyn Host,
    config: &Config,
    context: &Context,
    requests: &[Request],
) -> Vec<Outcome> {
    let wanted: Vec<Wanted<'_>> = requests.iter().flat_map(picks).collect();
    let mut made = asks(host, config, context, &wanted).into_iter();
    let plans: Vec<Plan<'_>> = requests
        .iter()
        .map(|object| Plan::of(object, made.by_ref().take(object.picks.len()).collect()))
        .collect();
    let mut to_send: Vec<HttpRequest> = Vec::new();
    for request in plans.iter().flat_map(Plan::requests) {
        if to_send.len() < MOST && !to_send.contains(request) {
            to_send.push(request.clone());
        }
    }
    let answers = host.send_all(&to_send);
    let answer = |request: &HttpRequest| -> Sent {
        let at = to_send.iter().position(|sent| sent == request);
        at.and_then(|at| answers.get(at)).cloned().unwrap_or_else(|| {
            Err(Failure::unavailable(format!(
                "more than {MOST} different requests are due at once; the rest is for the next time"
            )))
        })
    };
    plans.iter().map(|plan| plan.outcome(&answer)).collect()
}

fn picks(object: &Request) -> impl Iterator<Item = Wanted<'_>> {
    object.picks.iter().map(move |pick| Wanted {
        object,
        property: pick.property.as_deref(),
    })
}

/// What is asked for one object.
struct Plan<'a> {
    object: &'a Request,
    asks: Vec<Result<Ask, Failure>>,
    /// Whether `known` went along: only where one request serves all picks, for then its tag is the object's.
    conditional: bool,
}

impl<'a> Plan<'a> {
    fn of(object: &'a Request, mut asks: Vec<Result<Ask, Failure>>) -> Self {
        let single = is_single(&asks);
        let mut conditional = false;
        if let (Some(known), true) = (&object.known, single) {
            for ask in asks.iter_mut().flatten() {
                let headers = &mut ask.request.headers;
                if !headers
                    .iter()
                    .any(|(n, _)| n.eq_ignore_ascii_case("if-none-match"))
                {
                    headers.push(("if-none-match".to_owned(), known.clone()));
                    conditional = true;
                }
            }
        }
        Self {
            object,
            asks,
            conditional,
        }
    }

    fn requests(&self) -> impl Iterator<Item = &HttpRequest> {
        self.asks.iter().flatten().map(|ask| &ask.request)
    }

    fn outcome(&self, answer: &dyn Fn(&HttpRequest) -> Sent) -> Outcome {
        if !is_single(&self.asks) {
            let parts = self.asks.iter().zip(&self.object.picks).map(|(ask, pick)| {
                let taken = ask.clone().and_then(|ask| {
                    let response = judged(answer(&ask.request)?, &self.object.key)?;
                    take(&response, &ask, pick)
                });
                taken.unwrap_or_else(Part::Failed)
            });
            return Outcome::parts(parts.collect(), None);
        }
        self.one(answer).unwrap_or_else(Outcome::failed)
    }

    /// All picks are taken from one answer.
    fn one(&self, answer: &dyn Fn(&HttpRequest) -> Sent) -> Result<Outcome, Failure> {
        let first = match self.asks.first() {
            Some(ask) => ask.clone()?,
            None => return Ok(Outcome::parts(Vec::new(), None)),
        };
        let response = answer(&first.request)?;
        if response.status == 304 && self.conditional {
            return Ok(Outcome {
                answer: Answer::Unchanged,
                tag: self.object.known.clone(),
                options: Vec::new(),
            });
        }
        let response = judged(response, &self.object.key)?;
        let tag = response.header("etag").filter(|tag| tag.len() <= TAG_LIMIT);
        let parts = self.asks.iter().zip(&self.object.picks).map(|(ask, pick)| {
            let taken = ask.clone().and_then(|ask| take(&response, &ask, pick));
            taken.unwrap_or_else(Part::Failed)
        });
        Ok(Outcome::parts(parts.collect(), tag.map(str::to_owned)))
    }
}

/// Whether one request serves all.
fn is_single(asks: &[Result<Ask, Failure>]) -> bool {
    let mut requests = asks.iter().map(|ask| ask.as_ref().ok().map(|a| &a.request));
    let first = requests.next().flatten();
    requests.all(|request| request.is_some() && request == first)
}

fn take(response: &HttpResponse, ask: &Ask, pick: &Pick) -> Result<Part, Failure> {
    if pick.members {
        result::members(&response.body, &ask.json_path).map(Part::Members)
    } else {
        result::value(&response.body, &ask.json_path).map(Part::Value)
    }
}

/// A success, or what its status means. What the endpoint said besides is not repeated: nobody knows what is in it.
fn judged(response: HttpResponse, key: &str) -> Result<HttpResponse, Failure> {
    let status = response.status;
    let text = format!("endpoint gave error {status} for {key:?}");
    let failure = match status {
        200..=299 => return Ok(response),
        404 => Failure::absent(format!("the endpoint has nothing at {key:?} (404)")),
        401 => Failure::unauthenticated(text),
        403 => Failure::denied(text),
        408 | 504 => Failure::timeout(text),
        429 => Failure::rate_limited(text, response.retry_after_ms()),
        304 => Failure::invalid_request(format!(
            "{text}: the store's own headers ask for changes only"
        )),
        300..=399 => Failure::invalid_request(format!(
            "{text}: it redirects; name the address that it leads to in url"
        )),
        400..=499 => Failure::invalid_request(text),
        _ => Failure {
            retry_after_ms: response.retry_after_ms(),
            ..Failure::unavailable(text)
        },
    };
    Err(failure.with_detail("status", status.to_string()))
}
