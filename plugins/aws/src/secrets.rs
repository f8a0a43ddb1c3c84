//! Reads of Secrets Manager.
//!
//! Several keys that are due together are one `BatchGetSecretValue`. One key alone whose tag is known is asked for by
//! `DescribeSecret`, which brings no value and decrypts nothing. Where a policy allows neither, `GetSecretValue` serves: after a
//! refused `DescribeSecret` the tag says so for the rest of the day, so that no refresh costs two calls for long.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_plugin_shared::property::take;
use postern_sdk::{Answer, Failure, Outcome, Part, Pick, Request, each, value};
use serde_json::{Map, Value, json};

use crate::refusal::Refusal;
use crate::tag::Tag;
use crate::wire::{Client, Miss, Operation};

/// Secrets of one `BatchGetSecretValue`.
pub const BATCH: usize = 20;

/// The stage of the version that is in use.
const CURRENT: &str = "AWSCURRENT";

/// What marks a version's id.
const BY_ID: &str = "uuid/";

/// A request with what AWS knows it by.
struct Wanted<'a> {
    request: &'a Request,
    id: String,
    known: Option<Tag>,
}

impl Wanted<'_> {
    fn version(&self) -> Option<&str> {
        self.request.version.as_deref().filter(|v| !v.is_empty())
    }

    /// The version's stage; none where it is named by its id.
    fn stage(&self) -> Option<&str> {
        let version = self.version().unwrap_or(CURRENT);
        (!version.starts_with(BY_ID)).then_some(version)
    }

    fn what(&self) -> String {
        format!("secret {:?}", self.id)
    }

    fn get(&self) -> Operation {
        let body = match self.version().and_then(|v| v.strip_prefix(BY_ID)) {
            Some(id) => json!({"SecretId": self.id, "VersionId": id}),
            None => json!({"SecretId": self.id, "VersionStage": self.stage().unwrap_or(CURRENT)}),
        };
        Operation {
            name: "GetSecretValue",
            body,
            what: self.what(),
        }
    }

    fn describe(&self) -> Operation {
        Operation {
            name: "DescribeSecret",
            body: json!({"SecretId": self.id}),
            what: self.what(),
        }
    }
}

/// One outcome a request, in order.
pub fn get_batch(
    client: &Client<'_>,
    requests: &[Request],
    id: impl Fn(&str) -> String,
) -> Vec<Outcome> {
    let wanted: Vec<Wanted<'_>> = requests
        .iter()
        .map(|request| Wanted {
            request,
            id: id(&request.key),
            known: request.known.as_deref().and_then(Tag::parse),
        })
        .collect();
    let mut work = Work {
        client,
        wanted: &wanted,
        outcomes: wanted.iter().map(|_| None).collect(),
        no_describe: vec![false; wanted.len()],
    };
    let batched = |w: &Wanted<'_>| !w.request.metadata && w.version().is_none();
    let (together, apart): (Vec<usize>, Vec<usize>) =
        (0..wanted.len()).partition(|at| batched(&wanted[*at]));
    work.apart(&apart);
    if let [one] = together[..] {
        work.apart(&[one]);
    } else {
        work.together(&together);
    }
    let missing = || Outcome::failed(Failure::internal("a request was left without an answer"));
    work.outcomes
        .into_iter()
        .map(|o| o.unwrap_or_else(missing))
        .collect()
}

struct Work<'a> {
    client: &'a Client<'a>,
    wanted: &'a [Wanted<'a>],
    outcomes: Vec<Option<Outcome>>,
    /// Whether `DescribeSecret` is known to be refused for a request.
    no_describe: Vec<bool>,
}

impl Work<'_> {
    /// Twenty secrets a call; those that a call leaves open are asked for one by one.
    fn together(&mut self, which: &[usize]) {
        let chunks: Vec<&[usize]> = which.chunks(BATCH).collect();
        let calls: Vec<Operation> = chunks.iter().map(|chunk| self.batch(chunk)).collect();
        let mut open = Vec::new();
        for (chunk, answer) in chunks.iter().zip(self.client.ask_all(&calls)) {
            match answer {
                Ok(answer) => open.extend(self.sort(chunk, &answer)),
                Err(Miss::Refused(refusal)) if refusal.may_be_of_one() => {
                    open.extend_from_slice(chunk)
                }
                Err(miss) => chunk.iter().for_each(|at| self.fail(*at, &miss)),
            }
        }
        self.one_by_one(&open);
    }

    fn batch(&self, chunk: &[usize]) -> Operation {
        let mut ids: Vec<&str> = chunk
            .iter()
            .map(|at| self.wanted[*at].id.as_str())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        Operation {
            name: "BatchGetSecretValue",
            body: json!({"SecretIdList": ids}),
            what: format!("{} secrets", ids.len()),
        }
    }

    /// Gives each answer to who asked for it; what is left was not answered, as where the answer had more pages.
    fn sort(&mut self, chunk: &[usize], answer: &Value) -> Vec<usize> {
        let list = |name: &str| {
            answer[name]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default()
        };
        let mut open = Vec::new();
        for at in chunk.iter().copied() {
            let id = self.wanted[at].id.as_str();
            if let Some(entry) = list("SecretValues").iter().find(|e| is_of(e, id)) {
                self.found(at, entry);
            } else if let Some(error) = list("Errors").iter().find(|e| e["SecretId"] == id) {
                let text = |name: &str| error[name].as_str().unwrap_or_default();
                let refusal = Refusal::listed(text("ErrorCode"), text("Message"));
                self.fail(at, &Miss::Refused(refusal));
            } else {
                open.push(at);
            }
        }
        open
    }

    /// Metadata, versions, and a key that is alone.
    fn apart(&mut self, which: &[usize]) {
        let today = self.client.today();
        let alone = which.len() == 1;
        let by_tag = |w: &Wanted<'_>| {
            let ask = w.known.as_ref().is_some_and(|tag| tag.may_describe(&today));
            alone && ask && w.stage().is_some()
        };
        let (described, read): (Vec<usize>, Vec<usize>) = which
            .iter()
            .partition(|at| self.wanted[**at].request.metadata || by_tag(&self.wanted[**at]));
        let calls: Vec<Operation> = described
            .iter()
            .map(|at| self.wanted[*at].describe())
            .collect();
        let mut open = read;
        for (at, answer) in described.iter().copied().zip(self.client.ask_all(&calls)) {
            match (self.wanted[at].request.metadata, answer) {
                (true, Ok(answer)) => self.tags(at, &answer),
                (true, Err(miss)) => self.fail_whatever(at, &miss),
                (false, Ok(answer)) if self.holds(at, &answer) => self.unchanged(at),
                (false, Ok(_)) => open.push(at),
                (false, Err(Miss::Refused(refusal))) if refusal.is_denial() => {
                    self.no_describe[at] = true;
                    open.push(at);
                }
                // The value's own operation says with authority what is not there.
                (false, Err(Miss::Refused(refusal))) if refusal.may_be_of_one() => open.push(at),
                (false, Err(miss)) => self.fail(at, &miss),
            }
        }
        self.one_by_one(&open);
    }

    fn one_by_one(&mut self, which: &[usize]) {
        let calls: Vec<Operation> = which.iter().map(|at| self.wanted[*at].get()).collect();
        for (at, answer) in which.iter().copied().zip(self.client.ask_all(&calls)) {
            match answer {
                Ok(entry) => self.found(at, &entry),
                Err(miss) => self.fail(at, &miss),
            }
        }
    }

    /// Whether the version that the tag stands for is still the one of the stage.
    fn holds(&self, at: usize, described: &Value) -> bool {
        let wanted = &self.wanted[at];
        let (Some(known), Some(stage)) = (&wanted.known, wanted.stage()) else {
            return false;
        };
        let versions = described["VersionIdsToStages"].as_object();
        let current = versions.into_iter().flatten().find(|(_, stages)| {
            stages
                .as_array()
                .is_some_and(|all| all.iter().any(|s| s == stage))
        });
        let arn = described["ARN"].as_str().unwrap_or_default();
        current.is_some_and(|(version, _)| known.is(&Tag::new(arn, version)))
    }

    fn found(&mut self, at: usize, entry: &Value) {
        let wanted = &self.wanted[at];
        let tag = match (entry["ARN"].as_str(), entry["VersionId"].as_str()) {
            (Some(arn), Some(version)) => Some(Tag::new(arn, version)),
            _ => None,
        };
        if let (Some(known), Some(tag)) = (&wanted.known, &tag)
            && known.is(tag)
        {
            self.unchanged(at);
            return;
        }
        let tag = tag.map(|tag| tag.denied(self.denied_on(at)).to_string());
        self.outcomes[at] = Some(match Payload::of(entry) {
            Ok(payload) => {
                let what = wanted.what();
                Outcome::parts(each(&wanted.request.picks, |p| payload.take(p, &what)), tag)
            }
            Err(why) => Outcome::failed(Failure::internal(format!("{} {why}", wanted.what()))),
        });
    }

    fn unchanged(&mut self, at: usize) {
        let known = self.wanted[at].known.clone();
        self.outcomes[at] = Some(Outcome {
            answer: Answer::Unchanged,
            tag: known.map(|tag| tag.denied(self.denied_on(at)).to_string()),
            options: Vec::new(),
        });
    }

    /// The day on which `DescribeSecret` was last refused for a request.
    fn denied_on(&self, at: usize) -> Option<String> {
        if self.no_describe[at] {
            return Some(self.client.today());
        }
        self.wanted[at]
            .known
            .as_ref()
            .and_then(|tag| tag.denied_on.clone())
    }

    fn tags(&mut self, at: usize, described: &Value) {
        let wanted = &self.wanted[at];
        let data = tags_as_json(&described["Tags"]);
        let what = format!("the tags of {}", wanted.what());
        self.outcomes[at] = Some(Outcome::parts(
            each(&wanted.request.picks, |p| take(data.as_bytes(), p, &what)),
            None,
        ));
    }

    fn fail(&mut self, at: usize, miss: &Miss) {
        if let Miss::Refused(refusal) = miss
            && refusal.is_absence()
        {
            let what = self.wanted[at].what();
            let failure = Failure::absent(format!("there is no {what} ({})", refusal.name));
            self.outcomes[at] = Some(Outcome::failed(failure));
            return;
        }
        self.fail_whatever(at, miss);
    }

    /// A failure, where what is not there is no reason to delete anything: tags.
    fn fail_whatever(&mut self, at: usize, miss: &Miss) {
        let failure = self.client.failure(miss, &self.wanted[at].what());
        self.outcomes[at] = Some(Outcome::failed(failure));
    }
}

/// Whether an entry is the secret that was asked for: by name, by ARN, or by an ARN without the six characters at its end.
fn is_of(entry: &Value, id: &str) -> bool {
    let arn = entry["ARN"].as_str().unwrap_or_default();
    let partial = arn.rsplit_once('-').map_or("", |(front, _)| front);
    entry["Name"] == id || arn == id || (!partial.is_empty() && partial == id)
}

/// Tags as one JSON object of texts.
#[must_use]
pub fn tags_as_json(list: &Value) -> String {
    let tag = |tag: &Value| {
        let key = tag["Key"].as_str()?.to_owned();
        Some((key, Value::from(tag["Value"].as_str().unwrap_or_default())))
    };
    let tags: Map<String, Value> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(tag)
        .collect();
    value::marshal_map(&tags)
}

/// What a version holds.
struct Payload {
    text: Option<String>,
    bytes: Option<Vec<u8>>,
}

impl Payload {
    fn of(entry: &Value) -> Result<Self, &'static str> {
        let text = entry["SecretString"].as_str().map(str::to_owned);
        let bytes = match entry["SecretBinary"].as_str() {
            None => None,
            Some(packed) => Some(
                STANDARD
                    .decode(packed)
                    .map_err(|_| "has bytes that are no base64")?,
            ),
        };
        if text.is_none() && bytes.is_none() {
            return Err("has a version with neither a text nor bytes");
        }
        Ok(Self { text, bytes })
    }

    /// The whole is the text where there are both, and a property is one of the bytes.
    fn take(&self, pick: &Pick, what: &str) -> Result<Part, Failure> {
        let text = self.text.as_deref().map(str::as_bytes);
        let bytes = self.bytes.as_deref();
        let has_property = pick.property.as_deref().is_some_and(|p| !p.is_empty());
        let data = if has_property {
            bytes.or(text)
        } else {
            text.or(bytes)
        };
        take(data.unwrap_or_default(), pick, what)
    }
}
