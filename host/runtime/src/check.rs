//! Holds what a plugin answered against the contract and the limits on values. Pure.

use postern_core::failure::{Code, Failure};
use postern_core::plugin::{Answer, Descriptor, Outcome, Page, Part, RenderJob, Rendered, Request};
use postern_core::secret::SecretValue;

use crate::fault::Callee;
use crate::limits::Limits;

/// Counts what an answer holds.
struct Tally<'a> {
    callee: &'a Callee,
    limits: &'a Limits,
    bytes: usize,
    values: usize,
}

impl<'a> Tally<'a> {
    fn new(callee: &'a Callee, limits: &'a Limits) -> Self {
        Self {
            callee,
            limits,
            bytes: 0,
            values: 0,
        }
    }

    fn value(&mut self, value: &SecretValue) -> Result<(), Failure> {
        if value.len() > self.limits.value {
            let what = format!(
                "answered with a value of {} bytes, more than {} KiB,",
                value.len(),
                self.limits.value >> 10
            );
            return Err(self.callee.failure(Code::LimitExceeded, what));
        }
        self.bytes += value.len();
        self.values += 1;
        if self.bytes > self.limits.answer {
            let what = format!(
                "answered with more than {} MiB at once",
                self.limits.answer >> 20
            );
            return Err(self.callee.failure(Code::LimitExceeded, what));
        }
        self.count(self.values)
    }

    fn count(&self, values: usize) -> Result<(), Failure> {
        if values > self.limits.values {
            let what = format!(
                "answered with more than {} values at once",
                self.limits.values
            );
            return Err(self.callee.failure(Code::LimitExceeded, what));
        }
        Ok(())
    }
}

/// One outcome a request, one part a pick, of the kind that was picked; `unchanged` only where a tag was offered.
pub fn outcomes(
    callee: &Callee,
    limits: &Limits,
    requests: &[Request],
    outcomes: &[Outcome],
) -> Result<(), Failure> {
    if outcomes.len() != requests.len() {
        let what = format!(
            "answered {} requests with {} outcomes",
            requests.len(),
            outcomes.len()
        );
        return Err(callee.failure(Code::ContractBroken, what));
    }
    let mut tally = Tally::new(callee, limits);
    for (request, outcome) in requests.iter().zip(outcomes) {
        if outcome.tag.as_ref().is_some_and(|tag| tag.len() > MAX_TAG) {
            return Err(callee.failure(
                Code::ContractBroken,
                format!("answered with a tag of more than {MAX_TAG} bytes"),
            ));
        }
        match &outcome.answer {
            Answer::Failed(_) => {}
            Answer::Unchanged if request.known.is_some() => {}
            Answer::Unchanged => {
                return Err(callee.failure(
                    Code::ContractBroken,
                    "answered `unchanged` where no tag was offered",
                ));
            }
            Answer::Parts(parts) => self::parts(&mut tally, request, parts)?,
        }
    }
    Ok(())
}

/// A tag is kept for each object between syncs.
const MAX_TAG: usize = 1024;

fn parts(tally: &mut Tally<'_>, request: &Request, parts: &[Part]) -> Result<(), Failure> {
    if parts.len() != request.picks.len() {
        let what = format!(
            "answered {} picks with {} parts",
            request.picks.len(),
            parts.len()
        );
        return Err(tally.callee.failure(Code::ContractBroken, what));
    }
    for (pick, part) in request.picks.iter().zip(parts) {
        match part {
            Part::Value(value) if !pick.members => tally.value(value)?,
            Part::Members(members) if pick.members => {
                for (_, value) in members {
                    tally.value(value)?;
                }
            }
            Part::Failed(_) => {}
            Part::Value(_) | Part::Members(_) => {
                let what = "answered members where a value was picked, or the other way round,";
                return Err(tally.callee.failure(Code::ContractBroken, what));
            }
        }
    }
    Ok(())
}

/// Hits are counted like values.
pub fn page(callee: &Callee, limits: &Limits, page: &Page) -> Result<(), Failure> {
    let mut tally = Tally::new(callee, limits);
    tally.count(page.found.len())?;
    for value in page.found.iter().filter_map(|f| f.value.as_ref()) {
        tally.value(value)?;
    }
    Ok(())
}

/// One list a job, one result a template.
pub fn rendered(
    callee: &Callee,
    limits: &Limits,
    jobs: &[RenderJob],
    results: &[Rendered],
) -> Result<(), Failure> {
    if jobs.len() != results.len() {
        let what = format!("answered {} jobs with {} lists", jobs.len(), results.len());
        return Err(callee.failure(Code::ContractBroken, what));
    }
    let mut tally = Tally::new(callee, limits);
    for (job, results) in jobs.iter().zip(results) {
        if job.templates.len() != results.len() {
            let what = format!(
                "answered {} templates with {} results",
                job.templates.len(),
                results.len()
            );
            return Err(callee.failure(Code::ContractBroken, what));
        }
        for value in results.iter().flatten() {
            tally.value(value)?;
        }
    }
    Ok(())
}

/// A descriptor with its schema, if both can be used.
pub fn descriptor(
    callee: &Callee,
    mut descriptor: Descriptor,
    schema: &str,
) -> Result<Descriptor, Failure> {
    let invalid = |what: String| callee.failure(Code::PluginInvalid, what);
    if descriptor.name.is_empty() || descriptor.version.is_empty() {
        return Err(invalid("says neither its name nor its version".into()));
    }
    let plain = |text: &str| {
        !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic())
    };
    if !plain(&descriptor.name) || !plain(&descriptor.version) {
        return Err(invalid(
            "has a name or version that is not up to 64 plain characters".into(),
        ));
    }
    if descriptor.serves.is_empty() || !descriptor.serves.iter().all(|key| plain(key)) {
        return Err(invalid(
            "says no key that it serves, or one that is not up to 64 plain characters".into(),
        ));
    }
    let parsed = serde_json::from_str(schema)
        .map_err(|e| invalid(format!("has a config schema that is not JSON ({e})")))?;
    if !jsonschema::draft202012::meta::is_valid(&parsed) {
        return Err(invalid(
            "has a config schema that is not valid JSON Schema 2020-12".into(),
        ));
    }
    descriptor.config_schema = parsed;
    descriptor.summary = postern_core::failure::one_line(&descriptor.summary, 200);
    Ok(descriptor)
}
