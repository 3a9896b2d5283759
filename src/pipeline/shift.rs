//! Shift: what the rows of a stream hold now, compared with an earlier run.
//!
//! Rests on `record`. What always holds: a pure function of the coverage that two runs recorded; a name is called new
//! or gone only where both runs could have seen it; every change says how often the name was there, before and after.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::StreamCoverage;

/// How often a name that is in the earlier rows should have been in the new ones before its absence says something.
const EXPECTED_MIN: u64 = 10;

/// One change of what a stream's rows hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What changed.
    pub what: What,
    /// The member, the evidence field, or `member=value`.
    pub name: String,
    /// How.
    pub how: How,
    /// How often it was there in the rows that the earlier run looked into.
    pub before: u64,
    /// The same of the later run.
    pub after: u64,
    /// Whether an expression reads the member; true for a field. Without it nothing is lost, or nothing is won.
    pub read: bool,
}

/// What can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A member of the rows.
    Key,
    /// A field of the evidence.
    Field,
    /// A value of a discriminator, such as `type`.
    Value,
}

/// How it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It was in no row before.
    Appeared,
    /// It is in no row now.
    Vanished,
    /// It is in the rows of before and in none that came since.
    Stopped,
}

/// What is different in `after`, in order of what and name; nothing where either run saw no row of the stream.
pub fn compare(before: &StreamCoverage, after: &StreamCoverage) -> Vec<Change> {
    if before.observed == 0 || after.observed == 0 {
        return Vec::new();
    }
    let added = after.observed.saturating_sub(before.observed);
    let rows = Rows { before: before.observed, added };
    let mut changes = Vec::new();

    let seen = |of: &StreamCoverage| of.keys.iter().map(|(name, key)| (name.clone(), key.seen)).collect();
    let (old, new): (BTreeMap<String, u64>, BTreeMap<String, u64>) = (seen(before), seen(after));
    // Of a list that was cut, nothing is known beyond its last name.
    let cut = |of: &StreamCoverage| {
        of.keys.last_key_value().filter(|_| of.other_keys > 0).map(|(name, _)| name.clone())
    };
    let end = [cut(before), cut(after)].into_iter().flatten().min();
    let known = |name: &str| end.as_deref().is_none_or(|end| name <= end);
    rows.compare(&old, &new, &mut |name, how, before_n, after_n| {
        if known(name) {
            let read = [after, before].iter().find_map(|of| of.keys.get(name)).is_some_and(|key| key.read);
            changes.push(change(What::Key, name, how, (before_n, after_n), read));
        }
    });

    if before.records > 0 && after.records > 0 {
        let records = Rows { before: before.records, added: after.records.saturating_sub(before.records) };
        records.compare(&before.fields, &after.fields, &mut |name, how, before_n, after_n| {
            changes.push(change(What::Field, name, how, (before_n, after_n), true));
        });
    }

    for (key, kind) in &after.kinds {
        let Some(old) = before.kinds.get(key).filter(|old| old.others == 0 && kind.others == 0) else {
            continue;
        };
        for (value, seen) in kind.values.iter().filter(|(value, _)| !old.values.contains_key(*value)) {
            let read = after.keys.get(key).is_some_and(|key| key.read);
            changes.push(change(What::Value, &format!("{key}={value}"), How::Appeared, (0, *seen), read));
        }
    }
    changes
}

fn change(what: What, name: &str, how: How, (before, after): (u64, u64), read: bool) -> Change {
    Change { what, name: name.to_owned(), how, before, after, read }
}

/// The rows that two runs looked into.
struct Rows {
    before: u64,
    added: u64,
}

impl Rows {
    fn compare(
        &self,
        before: &BTreeMap<String, u64>,
        after: &BTreeMap<String, u64>,
        found: &mut dyn FnMut(&str, How, u64, u64),
    ) {
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let count = |of: &BTreeMap<String, u64>| of.get(name).copied().unwrap_or(0);
            let (old, new) = (count(before), count(after));
            let how = match (old, new) {
                (0, _) => How::Appeared,
                (_, 0) => How::Vanished,
                _ if new <= old && self.expected(old) >= u128::from(EXPECTED_MIN) => How::Stopped,
                _ => continue,
            };
            found(name, how, old, new);
        }
    }

    /// How often a name that was there `old` times should be in the added rows.
    fn expected(&self, old: u64) -> u128 {
        u128::from(old) * u128::from(self.added) / u128::from(self.before.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;
    use crate::record::{KeyCoverage, KindCoverage};

    fn coverage(observed: u64, keys: &[(&str, u64)], kinds: &[(&str, u64)]) -> StreamCoverage {
        let key = |seen: &u64| KeyCoverage { bytes: 10, read: true, seen: *seen };
        let values = kinds.iter().map(|(value, seen)| ((*value).to_owned(), *seen)).collect();
        StreamCoverage {
            bytes: 10,
            bytes_read: 10,
            fields: BTreeMap::from([("response".to_owned(), observed)]),
            keys: keys.iter().map(|(name, seen)| ((*name).to_owned(), key(seen))).collect(),
            kinds: BTreeMap::from([("type".to_owned(), KindCoverage { others: 0, values })]),
            observed,
            other_keys: 0,
            records: observed,
            spec: "s".to_owned(),
            spec_id: ObjectId::of(b"s"),
            stream: "s".to_owned(),
            units: observed,
        }
    }

    fn said(before: &StreamCoverage, after: &StreamCoverage) -> Vec<String> {
        compare(before, after).iter().map(|c| format!("{:?} {} {:?}", c.what, c.name, c.how)).collect()
    }

    #[test]
    fn names_that_come_go_and_stop() {
        let before = coverage(100, &[("a", 100), ("b", 100), ("gone", 3)], &[("chat", 100)]);
        let after = coverage(120, &[("a", 120), ("b", 100), ("new", 1)], &[("chat", 119), ("tool", 1)]);
        let found = said(&before, &after);
        assert_eq!(
            found,
            ["Key b Stopped", "Key gone Vanished", "Key new Appeared", "Value type=tool Appeared"]
        );
        assert_eq!(said(&before, &before), [""; 0]);
    }

    #[test]
    fn a_rare_name_that_is_not_in_few_new_rows_says_nothing() {
        let before = coverage(100, &[("a", 100), ("rare", 40)], &[]);
        assert_eq!(said(&before, &coverage(124, &[("a", 124), ("rare", 40)], &[])), [""; 0], "9.6 expected");
        assert_eq!(said(&before, &coverage(125, &[("a", 125), ("rare", 40)], &[])), ["Key rare Stopped"]);
    }

    #[test]
    fn nothing_is_said_of_what_a_run_could_not_see() {
        let before = coverage(100, &[("a", 100), ("b", 100)], &[("chat", 100)]);
        let mut after = coverage(100, &[("a", 100), ("aa", 1)], &[("other", 1)]);
        after.other_keys = 1;
        after.kinds.get_mut("type").expect("there").others = 1;
        assert_eq!(
            said(&before, &after),
            ["Key aa Appeared"],
            "b may be among the others, other is one of many"
        );
        assert_eq!(said(&before, &coverage(0, &[], &[])), [""; 0]);
        assert_eq!(said(&coverage(0, &[], &[]), &before), [""; 0]);
    }

    #[test]
    fn a_field_of_evidence_that_is_no_longer_filled() {
        let before = coverage(50, &[("a", 50)], &[]);
        let mut after = before.clone();
        after.fields.clear();
        let found = compare(&before, &after);
        assert_eq!((found.len(), found[0].what, found[0].how), (1, What::Field, How::Vanished));
        assert_eq!((found[0].before, found[0].after), (50, 0));
    }
}
