//! What a status says of each entry: from which store, under which name and version it was read, what became of it and
//! since when. Never a value.

use jiff::Timestamp;
use postern_api::external_secret::{EntryState, EntryStatus, ExternalSecretStatus};

use crate::conclude::seconds;
use crate::failure::one_line;
use crate::plan::{Entry, Read, SyncPlan, Wanted};
use crate::shape::EntryFate;

/// Entries that a status lists; of more, the summary gives the number.
const ENTRIES: usize = 64;

/// Keys that are listed for one entry: a search can make thousands.
const KEYS: usize = 16;

/// Characters of a remote key.
const REMOTE_KEY: usize = 256;

/// Puts into a status what became of the entries, which stand in the plan's order. Where nothing became of them, because
/// the sync broke off before, what the status has stays.
pub fn tell(
    status: &mut ExternalSecretStatus,
    plan: &SyncPlan,
    fates: &[EntryFate],
    now: Timestamp,
) {
    if fates.len() != plan.entries.len() {
        return;
    }
    let old = status.entries.take().unwrap_or_default();
    let all = plan.entries.iter().zip(&plan.reads).zip(fates);
    let rows = all.take(ENTRIES).map(|((entry, read), fate)| {
        let mut row = row(entry, read, fate, now);
        if let Some(old) = old.iter().find(|old| old.entry == row.entry) {
            let since = std::mem::replace(&mut row.since, old.since.clone());
            if row != *old {
                row.since = since;
            }
        }
        row
    });
    status.entries = Some(rows.collect());
    status.summary = Some(summary(plan, fates));
}

fn row(entry: &Entry, read: &Read, fate: &EntryFate, now: Timestamp) -> EntryStatus {
    let version = match &read.wanted {
        Wanted::Object(object) => object.version.clone(),
        Wanted::Search(_) => None,
    };
    let (state, keys, code) = match fate {
        EntryFate::Read(keys) => (EntryState::Read, Some(keys), None),
        EntryFate::Defaulted => (EntryState::Defaulted, None, None),
        EntryFate::LeftOut => (EntryState::LeftOut, None, None),
        EntryFate::Missing => (EntryState::Missing, None, None),
        EntryFate::Failed(code) => (EntryState::Failed, None, Some(code.to_string())),
        EntryFate::Unfinished => (EntryState::Unfinished, None, None),
    };
    EntryStatus {
        entry: entry.position.to_string(),
        store: format!("{}/{}", read.store.kind.as_str(), read.store.name),
        remote_key: one_line(read.key(), REMOTE_KEY),
        version,
        state,
        keys: keys.map(|keys| keys.iter().take(KEYS).cloned().collect()),
        code,
        since: seconds(now),
    }
}

/// How many entries were read of how many, and which is the first that failed.
fn summary(plan: &SyncPlan, fates: &[EntryFate]) -> String {
    let read = fates.iter().filter(|f| matches!(f, EntryFate::Read(_)));
    let counts = format!("{}/{}", read.count(), fates.len());
    let mut failed = plan.entries.iter().zip(fates);
    let failed = failed.find_map(|(entry, fate)| match fate {
        EntryFate::Failed(code) => Some((entry.position, code)),
        _ => None,
    });
    match failed {
        None => counts,
        Some((position, code)) => format!("{counts}, {position} {code}"),
    }
}

#[cfg(test)]
mod tests {
    use postern_api::external_secret::StoreKind;

    use super::*;
    use crate::failure::Code;
    use crate::plan::{Object, Position};
    use crate::plugin::Pick;
    use crate::store::StoreId;

    fn plan(entries: usize) -> SyncPlan {
        let mut plan = SyncPlan::plain("team", "es", "target");
        for index in 0..entries {
            let key = format!("key-{index}");
            plan.entries
                .push(Entry::plain(Position::Data(index), Some(key.clone())));
            plan.reads.push(Read {
                store: StoreId::from_ref(StoreKind::SecretStore, "vault", "team"),
                within: None,
                wanted: Wanted::Object(Object {
                    key,
                    version: Some("7".into()),
                    metadata: false,
                    pick: Pick {
                        property: None,
                        members: false,
                    },
                }),
            });
        }
        plan
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_of_an_entry_moves_only_when_something_becomes_of_it() {
        let plan = plan(2);
        let read = EntryFate::Read(vec!["key-0".into()]);
        let mut status = ExternalSecretStatus::default();
        let well = [read.clone(), EntryFate::Read(vec!["key-1".into()])];
        tell(&mut status, &plan, &well, at(10));
        assert_eq!(status.summary.as_deref(), Some("2/2"));

        let failed = [read, EntryFate::Failed(Code::Denied)];
        tell(&mut status, &plan, &failed, at(20));
        tell(&mut status, &plan, &failed, at(30));
        let summary = format!("1/2, spec.data[1] {}", Code::Denied);
        assert_eq!(status.summary, Some(summary));
        let rows = status.entries.clone().unwrap();
        assert_eq!(rows[0].since, "1970-01-01T00:00:10Z");
        assert_eq!(rows[0].version.as_deref(), Some("7"));
        assert_eq!(rows[0].store, "SecretStore/vault");
        assert_eq!(rows[1].since, "1970-01-01T00:00:20Z");
        assert_eq!(rows[1].state, EntryState::Failed);

        // A sync that broke off before its entries says nothing new of them.
        tell(&mut status, &plan, &[], at(40));
        assert_eq!(status.entries, Some(rows));
    }

    #[test]
    fn rows_and_keys_are_bounded_and_the_summary_is_not() {
        let plan = plan(100);
        let keys: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let mut status = ExternalSecretStatus::default();
        tell(&mut status, &plan, &vec![EntryFate::Read(keys); 100], at(0));
        assert_eq!(status.summary.as_deref(), Some("100/100"));
        let rows = status.entries.unwrap();
        assert_eq!(rows.len(), ENTRIES);
        assert_eq!(rows[0].keys.as_ref().unwrap().len(), KEYS);
    }
}
