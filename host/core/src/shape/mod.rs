//! Step 4 of a sync: answers become the keys and values that the target is made of.
//!
//! Order, rewriting, conversion of names, decoding and the check for zero bytes are the peer's; so are the texts that wrap
//! what went wrong with an entry. Where a rewrite is a template, [`begin`] yields jobs for the render door and goes on
//! with their answers: all keys that wait at one time go in one call.

mod convert;
mod decode;
mod json;
mod rewrite;

use std::collections::BTreeMap;

pub use convert::convert;
pub use decode::decode;
pub use rewrite::Rewrite;

use crate::failure::{Code, Failure, Stage};
use crate::plan::{Entry, Position, Read, SyncPlan, WhenAbsent};
use crate::plugin::{Part, RenderJob, Rendered};
use crate::secret::SecretValue;

/// Keys and values.
pub type Data = BTreeMap<String, SecretValue>;

/// What the answers came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shaped {
    /// Keys and values.
    pub data: Data,
    /// What became of each entry of the plan, in order.
    pub fates: Vec<EntryFate>,
    /// What optional entries did without.
    pub omitted: Omitted,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryFate {
    /// It was read, and made these keys.
    Read(Vec<String>),
    /// It does not exist, and took its default.
    Defaulted,
    /// It does not exist, and is optional.
    LeftOut,
    /// It does not exist, and the deletion policy passes it over.
    Missing,
    /// It failed.
    Failed(Code),
    /// Another entry failed before this one was through.
    Unfinished,
}

/// Shaping that failed: why, and what became of each entry.
#[derive(Debug)]
pub struct Unshaped {
    /// The first failure, with how many more there are.
    pub failure: Box<Failure>,
    /// In the order of the plan's entries; empty where it was no entry that failed.
    pub fates: Vec<EntryFate>,
}

impl From<Failure> for Unshaped {
    fn from(failure: Failure) -> Self {
        Self {
            failure: Box::new(failure),
            fates: Vec::new(),
        }
    }
}

/// How many optional entries had nothing to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Omitted {
    /// They made no key.
    pub left_out: usize,
    /// They took their default.
    pub defaulted: usize,
}

/// How far shaping has come.
#[derive(Debug)]
pub enum Shaping<'a> {
    /// To its end.
    Done(Shaped),
    /// To rewrites that are templates.
    Render(Pending<'a>),
}

/// Shaping that waits for rendered texts.
#[derive(Debug)]
pub struct Pending<'a> {
    plan: &'a SyncPlan,
    works: Vec<Work>,
    jobs: Vec<RenderJob>,
}

/// What has become of one entry so far.
#[derive(Debug)]
enum Work {
    Done(Data),
    Defaulted(Data),
    LeftOut,
    /// Its object does not exist, and the deletion policy passes it over.
    Passed,
    Failed(Failure),
    /// Names and values, before the step of this number.
    Rewriting(usize, Data),
}

/// Makes keys and values of the answers, which stand in the order of the plan's reads. If any entry failed, the first
/// failure is returned, with how many more there are: a target is never written from half of its values. Where the
/// deletion policy or the entry says so, an object that does not exist is passed over; whether that is believed, was
/// decided before.
pub fn begin(
    plan: &SyncPlan,
    answers: Vec<Result<Part, Failure>>,
) -> Result<Shaping<'_>, Unshaped> {
    let works = plan
        .entries
        .iter()
        .zip(answers)
        .map(|(entry, answer)| start(plan, entry, answer))
        .collect();
    advance(plan, works)
}

impl<'a> Pending<'a> {
    /// What to render, with the default engine: one template a job.
    #[must_use]
    pub fn jobs(&self) -> &[RenderJob] {
        &self.jobs
    }

    /// Goes on with what was rendered: one answer a job, in order.
    pub fn resume(self, rendered: Vec<Rendered>) -> Result<Shaping<'a>, Unshaped> {
        if rendered.len() != self.jobs.len() {
            return Err(Failure::new(
                Stage::Render,
                Code::ContractBroken,
                "the template engine answered another number of jobs than it was given",
            )
            .into());
        }
        let mut rendered = rendered.into_iter();
        let works = self.works.into_iter().map(|work| match work {
            Work::Rewriting(step, keys) => {
                let texts = rendered.by_ref().take(keys.len()).collect();
                match rewrite::transformed(keys, texts) {
                    Ok(keys) => Work::Rewriting(step + 1, keys),
                    Err(failure) => Work::Failed(in_step(step, failure)),
                }
            }
            other => other,
        });
        let works = works.collect();
        advance(self.plan, works)
    }
}

fn start(plan: &SyncPlan, entry: &Entry, answer: Result<Part, Failure>) -> Work {
    let of_a_part = answer.is_ok();
    let part = match answer {
        Err(failure) | Ok(Part::Failed(failure)) => {
            return match &entry.when_absent {
                absent if !absent.takes(failure.code, of_a_part) => {
                    if failure.code == Code::Absent && plan.absence.forgives() {
                        Work::Passed
                    } else {
                        Work::Failed(failure)
                    }
                }
                WhenAbsent::Default(value) => {
                    let key = entry.secret_key.clone().unwrap_or_default();
                    Work::Defaulted(Data::from([(key, SecretValue::from(value.as_str()))]))
                }
                WhenAbsent::LeaveOut | WhenAbsent::Fail => Work::LeftOut,
            };
        }
        Ok(part) => part,
    };
    match (part, &entry.secret_key) {
        (Part::Value(value), Some(key)) => match decode::finish(entry, key, value) {
            Ok(value) => Work::Done(Data::from([(key.clone(), value)])),
            Err(failure) => Work::Failed(failure),
        },
        (Part::Members(members), None) => Work::Rewriting(0, members.into_iter().collect()),
        (Part::Value(_) | Part::Failed(_), None)
        | (Part::Members(_) | Part::Failed(_), Some(_)) => Work::Failed(Failure::new(
            Stage::Shape,
            Code::ContractBroken,
            "the plugin answered another kind of part than it was asked for",
        )),
    }
}

/// Brings every entry as far as it comes without a template.
fn advance(plan: &SyncPlan, mut works: Vec<Work>) -> Result<Shaping<'_>, Unshaped> {
    let mut jobs = Vec::new();
    for (entry, work) in plan.entries.iter().zip(&mut works) {
        if let Work::Rewriting(step, keys) = work {
            *work = rewritten(entry, *step, std::mem::take(keys));
        }
        if let Work::Rewriting(step, keys) = work
            && let Some(Rewrite::Transform { template }) = entry.rewrite.get(*step)
        {
            jobs.extend(rewrite::jobs(template, keys));
        }
    }
    let failed = works.iter().any(|work| matches!(work, Work::Failed(_)));
    if jobs.is_empty() || failed {
        return conclude(plan, works).map(Shaping::Done);
    }
    Ok(Shaping::Render(Pending { plan, works, jobs }))
}

/// Takes the steps up to the next template, or to the end.
fn rewritten(entry: &Entry, mut step: usize, mut keys: Data) -> Work {
    while let Some(rewrite) = entry.rewrite.get(step) {
        keys = match rewrite {
            Rewrite::Transform { .. } if !keys.is_empty() => return Work::Rewriting(step, keys),
            Rewrite::Transform { .. } => keys,
            Rewrite::Regexp { source, target } => rewrite::regexp(source, target, keys),
            Rewrite::Merge(rule) => match rewrite::merge(rule, keys) {
                Ok(keys) => keys,
                Err(failure) => return Work::Failed(in_step(step, failure)),
            },
        };
        step += 1;
    }
    match finished(entry, keys) {
        Ok(keys) => Work::Done(keys),
        Err(failure) => Work::Failed(failure),
    }
}

fn finished(entry: &Entry, mut keys: Data) -> Result<Data, Failure> {
    if entry.rewrite.is_empty() {
        keys = convert::convert(entry.conversion, keys)?;
    }
    convert::checked(keys)?
        .into_iter()
        .map(|(key, value)| decode::finish(entry, &key, value).map(|value| (key, value)))
        .collect()
}

fn in_step(step: usize, failure: Failure) -> Failure {
    failure.context(format!("rewrite[{step}]"))
}

fn conclude(plan: &SyncPlan, works: Vec<Work>) -> Result<Shaped, Unshaped> {
    let mut shaped = Shaped::default();
    let mut failures = Vec::new();
    for (at, work) in works.into_iter().enumerate() {
        let (keys, fate) = match work {
            Work::Done(keys) => {
                let names = keys.keys().cloned().collect();
                (keys, EntryFate::Read(names))
            }
            Work::Defaulted(keys) => {
                shaped.omitted.defaulted += 1;
                (keys, EntryFate::Defaulted)
            }
            Work::LeftOut => {
                shaped.omitted.left_out += 1;
                (Data::new(), EntryFate::LeftOut)
            }
            Work::Passed => (Data::new(), EntryFate::Missing),
            Work::Rewriting(..) => (Data::new(), EntryFate::Unfinished),
            Work::Failed(failure) => {
                let code = failure.code;
                failures.push((at, failure));
                (Data::new(), EntryFate::Failed(code))
            }
        };
        shaped.fates.push(fate);
        shaped.data.extend(keys);
    }
    match first_of(plan, failures) {
        None => Ok(shaped),
        Some(failure) => Err(Unshaped {
            failure: Box::new(failure),
            fates: shaped.fates,
        }),
    }
}

/// The first failure, with where it stands and how many more there are.
fn first_of(plan: &SyncPlan, failures: Vec<(usize, Failure)>) -> Option<Failure> {
    let more = failures.len().saturating_sub(1);
    let (at, first) = failures.into_iter().next()?;
    let mut first = match (plan.reads.get(at), plan.entries.get(at)) {
        (Some(read), Some(entry)) => first.context(where_it_stands(read, entry)),
        _ => first,
    };
    if more > 0 {
        let all = plan.entries.len();
        first.public = format!("{}; {more} more of {all} entries failed", first.public);
    }
    Some(first)
}

fn where_it_stands(read: &Read, entry: &Entry) -> String {
    let position = entry.position;
    match position {
        Position::Data(_) => format!("error processing {position} (key: {}), err", read.key()),
        Position::Extract(_) | Position::Find(_) => format!("error processing {position}, err"),
    }
}
