//! Reads of Parameter Store. Several that are due together are `GetParameters`, ten a call; what such a call leaves open, or
//! lists as invalid without saying why, is asked for by itself, so that absence is always AWS's own word.

use postern_plugin_shared::property::take;
use postern_sdk::{Answer, Failure, Outcome, Request, each};
use serde_json::{Value, json};

use crate::secrets::tags_as_json;
use crate::wire::{Client, Miss, Operation};

/// Parameters of one `GetParameters`.
pub const BATCH: usize = 10;

/// A request with what AWS knows it by.
struct Wanted<'a> {
    request: &'a Request,
    name: String,
}

impl Wanted<'_> {
    /// The name with the version or label behind it.
    fn selector(&self) -> String {
        match self.request.version.as_deref().filter(|v| !v.is_empty()) {
            Some(version) => format!("{}:{version}", self.name),
            None => self.name.clone(),
        }
    }

    fn what(&self) -> String {
        format!("parameter {:?}", self.selector())
    }

    fn get(&self) -> Operation {
        Operation {
            name: "GetParameter",
            body: json!({"Name": self.selector(), "WithDecryption": true}),
            what: self.what(),
        }
    }

    fn tags(&self) -> Operation {
        Operation {
            name: "ListTagsForResource",
            body: json!({"ResourceType": "Parameter", "ResourceId": self.name}),
            what: self.what(),
        }
    }
}

/// One outcome a request, in order.
pub fn get_batch(
    client: &Client<'_>,
    requests: &[Request],
    name: impl Fn(&str) -> String,
) -> Vec<Outcome> {
    let wanted: Vec<Wanted<'_>> = requests
        .iter()
        .map(|request| Wanted {
            request,
            name: name(&request.key),
        })
        .collect();
    let mut work = Work {
        client,
        wanted: &wanted,
        outcomes: wanted.iter().map(|_| None).collect(),
    };
    let (tags, values): (Vec<usize>, Vec<usize>) =
        (0..wanted.len()).partition(|at| wanted[*at].request.metadata);
    work.tags(&tags);
    match values[..] {
        [one] => work.one_by_one(&[one]),
        _ => work.together(values),
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
}

impl Work<'_> {
    fn together(&mut self, which: Vec<usize>) {
        let chunks = self.chunks(which);
        let call = |chunk: &Vec<usize>| {
            let names: Vec<String> = chunk.iter().map(|at| self.wanted[*at].selector()).collect();
            Operation {
                name: "GetParameters",
                what: format!("{} parameters", names.len()),
                body: json!({"Names": names, "WithDecryption": true}),
            }
        };
        let calls: Vec<Operation> = chunks.iter().map(call).collect();
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

    /// Ten of different names a call: AWS answers with names, and two versions of one could not be told apart by them.
    fn chunks(&self, which: Vec<usize>) -> Vec<Vec<usize>> {
        let mut chunks: Vec<Vec<usize>> = Vec::new();
        for at in which {
            let name = &self.wanted[at].name;
            let fits = |chunk: &&mut Vec<usize>| {
                chunk.len() < BATCH && chunk.iter().all(|other| self.wanted[*other].name != *name)
            };
            match chunks.iter_mut().find(fits) {
                Some(chunk) => chunk.push(at),
                None => chunks.push(vec![at]),
            }
        }
        chunks
    }

    fn sort(&mut self, chunk: &[usize], answer: &Value) -> Vec<usize> {
        let found = answer["Parameters"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut open = Vec::new();
        for at in chunk.iter().copied() {
            match found.iter().find(|entry| is_of(entry, &self.wanted[at])) {
                Some(entry) => self.found(at, entry),
                None => open.push(at),
            }
        }
        open
    }

    fn one_by_one(&mut self, which: &[usize]) {
        let calls: Vec<Operation> = which.iter().map(|at| self.wanted[*at].get()).collect();
        for (at, answer) in which.iter().copied().zip(self.client.ask_all(&calls)) {
            match answer {
                Ok(answer) => self.found(at, &answer["Parameter"]),
                Err(miss) => self.fail(at, &miss),
            }
        }
    }

    fn found(&mut self, at: usize, entry: &Value) {
        let wanted = &self.wanted[at];
        let what = wanted.what();
        let tag = tag(entry);
        self.outcomes[at] = Some(match entry["Value"].as_str() {
            None => Outcome::failed(Failure::internal(format!("{what} came without a value"))),
            Some(_) if tag.is_some() && tag == wanted.request.known => Outcome {
                answer: Answer::Unchanged,
                tag,
                options: Vec::new(),
            },
            Some(value) => {
                let parts = each(&wanted.request.picks, |p| take(value.as_bytes(), p, &what));
                Outcome::parts(parts, tag)
            }
        });
    }

    fn tags(&mut self, which: &[usize]) {
        let calls: Vec<Operation> = which.iter().map(|at| self.wanted[*at].tags()).collect();
        for (at, answer) in which.iter().copied().zip(self.client.ask_all(&calls)) {
            let wanted = &self.wanted[at];
            let what = format!("the tags of {}", wanted.what());
            self.outcomes[at] = Some(match answer {
                Ok(answer) => {
                    let data = tags_as_json(&answer["TagList"]);
                    let parts = each(&wanted.request.picks, |p| take(data.as_bytes(), p, &what));
                    Outcome::parts(parts, None)
                }
                // Tags that cannot be found are no reason to delete anything.
                Err(miss) => Outcome::failed(self.client.failure(&miss, &what)),
            });
        }
    }

    /// Only a parameter that is not there is absent: a version or a label that is not is an ordinary error.
    fn fail(&mut self, at: usize, miss: &Miss) {
        let what = self.wanted[at].what();
        let failure = match miss {
            Miss::Refused(refusal) if refusal.is_absence() => {
                Failure::absent(format!("there is no {what} ({})", refusal.name))
            }
            _ => self.client.failure(miss, &what),
        };
        self.outcomes[at] = Some(Outcome::failed(failure));
    }
}

/// A parameter that was deleted and made anew counts its versions from 1 again, so the time of the version goes with it.
#[must_use]
pub fn tag(entry: &Value) -> Option<String> {
    let version = entry["Version"].as_u64()?;
    let written = entry.get("LastModifiedDate").filter(|d| !d.is_null())?;
    let arn = entry["ARN"].as_str().unwrap_or_default();
    Some(format!("{version}@{written}@{arn}")).filter(|tag| tag.len() <= 1024)
}

/// Whether an entry is the parameter that was asked for, by its name or its ARN, with or without the selector.
fn is_of(entry: &Value, wanted: &Wanted<'_>) -> bool {
    let (full, selector) = (
        wanted.selector(),
        entry["Selector"].as_str().unwrap_or_default(),
    );
    ["Name", "ARN"]
        .iter()
        .filter_map(|field| entry[field].as_str())
        .any(|name| name == wanted.name || name == full || format!("{name}{selector}") == full)
}
