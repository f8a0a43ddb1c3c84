//! Searches: all pages of one, its hits by name, and their values.
//!
//! Equal searches of one identity share one list, and the values go the way of all reads; see [`crate::fetcher`].

use std::collections::BTreeMap;
use std::sync::Arc;

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Found, Page, Part, Pick, Query};
use postern_core::re2::Pattern;
use postern_core::shape;
use tokio::time::Instant;

use crate::fetcher::{Listing, Object, Reader, Span};
use crate::identity::Identity;
use crate::read::{Access, bounded};
use crate::session::Token;
use crate::stats::{Counters, End, Task};
use crate::trial::Search;

/// Hits of one search: what a Secret of 1 MiB can hold is far less, and the list stays small in memory.
const MOST: usize = 10_000;
/// Pages of one search, so that a plugin that never ends does not hold a sync.
const MOST_PAGES: usize = 1_000;

/// What a search finds, as members by name. An object that is gone before it is read is one that was not found.
pub(crate) async fn find(
    identity: &Identity,
    reader: &Arc<dyn Reader>,
    search: &Search,
    span: Span,
) -> Result<Part, Failure> {
    if !identity.plugin.has_find {
        let name = &identity.plugin.descriptor.name;
        let what = format!(
            "the plugin {name} of {} cannot search; name the objects with data or dataFrom.extract",
            identity.store.id
        );
        return Err(Failure::new(Stage::Fetch, Code::Unsupported, what));
    }
    let result = found(identity, reader, search, span).await;
    result.map_err(|failure| failure.context("error getting all secrets"))
}

async fn found(
    identity: &Identity,
    reader: &Arc<dyn Reader>,
    search: &Search,
    span: Span,
) -> Result<Part, Failure> {
    let fetcher = &identity.fetcher;
    let began = Instant::now();
    let listing = match fetcher.list(reader, &search.query, span).await {
        Ok(listing) => listing,
        Err(failure) => {
            if failure.code == Code::Absent {
                fetcher.memory.searched(search, false, began);
            }
            return Err(failure);
        }
    };
    // Before any value is asked for. To leave them out instead would take keys from the target whenever a rule changes.
    if let Some(within) = &search.within {
        for hit in &listing.found {
            within.check_found(&identity.store, &hit.key)?;
        }
    }
    let mut members = BTreeMap::new();
    let (mut names, mut wanted) = (Vec::new(), Vec::new());
    for hit in &listing.found {
        let name = hit.name.as_ref().unwrap_or(&hit.key);
        match &hit.value {
            Some(value) => drop(members.insert(name.clone(), value.clone())),
            None => {
                names.push(name);
                wanted.push(whole(hit));
            }
        }
    }
    let answers = fetcher.fetch(reader, wanted, span).await;
    for (name, answer) in names.into_iter().zip(answers) {
        match answer {
            Ok(Part::Value(value)) => drop(members.insert(name.clone(), value)),
            Err(failure) | Ok(Part::Failed(failure)) if failure.code == Code::Absent => {}
            Err(failure) | Ok(Part::Failed(failure)) => {
                return Err(failure.context(format!("reading \"{name}\"")));
            }
            Ok(Part::Members(_)) => return Err(broken("answered members where bytes were picked")),
        }
    }
    fetcher
        .memory
        .searched(search, !members.is_empty(), listing.began);
    if listing.convert_names {
        members = shape::convert(search.query.conversion, members)?;
    }
    Ok(Part::Members(members.into_iter().collect()))
}

fn whole(hit: &Found) -> (Object, Pick) {
    let object = Object {
        key: hit.key.clone(),
        version: hit.version.clone(),
        metadata: false,
    };
    let pick = Pick {
        property: None,
        members: false,
    };
    (object, pick)
}

fn broken(what: &str) -> Failure {
    Failure::new(
        Stage::Fetch,
        Code::ContractBroken,
        format!("the plugin {what}"),
    )
}

impl Access {
    /// All pages of a search, with one repetition after a refusal.
    pub(crate) async fn list_all(&self, query: &Query) -> Result<Listing, Failure> {
        let began = Instant::now();
        let (access, token) = self.living().await?;
        let (failure, use_session) = match access.pages(token.as_ref(), query).await {
            Err(failure) if failure.code == Code::Unauthenticated => {
                match access.again(token.as_ref(), began).await? {
                    None => (failure, token.is_some()),
                    Some((next, token)) => match next.pages(token.as_ref(), query).await {
                        Err(failure) => (failure, token.is_some()),
                        Ok(listing) => return Ok(listing),
                    },
                }
            }
            other => return other,
        };
        // Refused with a session that is known to be new: the credential is not to blame.
        Err(match failure.code {
            Code::Unauthenticated if use_session => Failure {
                code: Code::Denied,
                ..failure
            },
            _ => failure,
        })
    }

    async fn pages(&self, token: Option<&Token>, query: &Query) -> Result<Listing, Failure> {
        let name = query.name.as_deref().map(Pattern::parse).transpose();
        let name = name.map_err(|error| {
            let what = format!("the expression on names is no RE2: {error}");
            Failure::new(Stage::Fetch, Code::InvalidSpec, what)
        })?;
        let began = Instant::now();
        let (mut found, mut convert_names) = (Vec::new(), false);
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let page = self.page(token, query, after.as_deref()).await?;
            let hits = page.found.into_iter().filter(|hit| {
                let of = hit.name.as_ref().unwrap_or(&hit.key);
                page.names_applied || name.as_ref().is_none_or(|name| name.is_match(of))
            });
            found.extend(hits);
            convert_names |= page.convert_names;
            if found.len() > MOST {
                let what = format!("the search finds more than {MOST} objects; narrow it down");
                return Err(Failure::new(Stage::Fetch, Code::InvalidRequest, what));
            }
            if page.next.is_none() {
                return Ok(Listing {
                    began,
                    found,
                    convert_names,
                });
            }
            after = page.next;
        }
        Err(broken(&format!(
            "gave more than {MOST_PAGES} pages of one search"
        )))
    }

    async fn page(
        &self,
        token: Option<&Token>,
        query: &Query,
        after: Option<&str>,
    ) -> Result<Page, Failure> {
        let deadline = self.preparer.settings.call_deadline;
        let call = self.reading_call(token);
        Counters::add(&self.preparer.counters.lists, 1);
        let page = bounded(deadline, self.preparer.host.find(&call, query, after)).await;
        self.called(Task::Find, End::of(&page));
        page
    }
}
