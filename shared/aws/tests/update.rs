//! The rendering of ledger writes: evaluated by DynamoDB's rules, it does to an item what the write does
//! to the mailbox.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::collections::HashSet;
use std::slice::from_ref;

use rendezvous_aws::items::{Attributes, ledger, update::Update};
use rendezvous_core::{
    Mailbox, Opening, Write, Written,
    conformance::samples::{endpoint, envelope, failure, fallback, later, score, settlement},
    settle::unavailable,
    write::Assignment,
};
use serde_dynamo::AttributeValue;

/// When the items here may expire: before, and after a write that sets it.
const BEFORE: i64 = 1;
const AFTER: i64 = 2;

/// What a name or a path of names stands for in an item.
fn find<'i>(
    update: &Update,
    path: &str,
    item: Option<&'i Attributes>,
) -> Option<&'i AttributeValue> {
    let mut attributes = item?;
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    for name in parents.split('.').filter(|name| !name.is_empty()) {
        match attributes.get(&update.names[name])? {
            AttributeValue::M(inner) => attributes = inner,
            _ => return None,
        }
    }
    attributes.get(&update.names[last])
}

/// The argument of a function, if it is called.
fn argument<'t>(term: &'t str, function: &str) -> Option<&'t str> {
    term.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')')
}

fn holds(update: &Update, term: &str, item: Option<&Attributes>) -> bool {
    if let Some(path) = argument(term, "attribute_exists") {
        find(update, path, item).is_some()
    } else if let Some(path) = argument(term, "attribute_not_exists") {
        find(update, path, item).is_none()
    } else {
        let (path, value) = term.split_once(" = ").unwrap();
        find(update, path, item) == Some(&update.values[value])
    }
}

/// The item after the update; none where its condition does not hold.
fn evaluate(update: &Update, key: &Attributes, item: Option<&Attributes>) -> Option<Attributes> {
    let met = |condition: &str| {
        let terms = argument(condition, "").unwrap_or(condition).split(" OR ");
        terms.into_iter().any(|term| holds(update, term, item))
    };
    if !update.condition.split(" AND ").all(met) {
        return None;
    }
    let mut new = item.unwrap_or(key).clone();
    for assignment in update.set.strip_prefix("SET ").unwrap().split(", #") {
        let (name, value) = assignment.trim_start_matches('#').split_once(" = ").unwrap();
        let name = &update.names[&format!("#{name}")];
        match argument(value, "if_not_exists") {
            Some(arguments) => {
                let (path, value) = arguments.split_once(", ").unwrap();
                let present = find(update, path, item).cloned();
                new.insert(name.clone(), present.unwrap_or_else(|| update.values[value].clone()))
            }
            None => new.insert(name.clone(), update.values[value].clone()),
        };
    }
    Some(new)
}

/// DynamoDB refuses names and values that no expression uses, and an attribute that is set twice.
fn assert_accepted(update: &Update) {
    let text = format!("{} {} ", update.set, update.condition);
    let words: HashSet<&str> = text.split([' ', ',', '(', ')', '.']).collect();
    let declared = update.names.keys().chain(update.values.keys()).map(String::as_str);
    let used = words.into_iter().filter(|word| word.starts_with(['#', ':']));
    assert_eq!(used.collect::<HashSet<_>>(), declared.collect(), "{update:?}");
    let assigned = update.set["SET ".len()..].split(", #");
    let names = assigned.map(|text| text.split(' ').next().unwrap().trim_start_matches('#'));
    let names: Vec<&String> = names.map(|name| &update.names[&format!("#{name}")]).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{update:?}");
}

fn item(mailbox: &Mailbox, expires_at: i64) -> Attributes {
    let mut item: Attributes = ledger::item(mailbox).into();
    ledger::EXPIRES_AT.put(&expires_at, &mut item);
    item
}

/// Writes of every kind to one mailbox, among them those of a repeat with later times.
fn writes() -> Vec<Write> {
    let endpoint = endpoint();
    let first = envelope(&endpoint);
    let repeat = later(&first);
    let (a, b) = (score("a@1", "1"), score("b@1", "{\"p\": 0.50}"));
    let (a_fails, a_again) = (failure("a@1"), score("a@1", "2"));
    let open = |envelope| Write::open(envelope, [7; 32], Some([9; 16]));
    let opening = open(&first).apply_to(None).opening.unwrap();
    let of_before = Opening { opened: None, ..opening };
    let given_up = unavailable(&endpoint, &first, first.received);
    vec![
        open(&first),
        open(&repeat),
        Write::reopen(&repeat, opening),
        Write::reopen(&repeat, of_before),
        Write::accept(&first),
        Write::accept(&repeat),
        Write::file(&first, &[]),
        Write::file(&first, from_ref(&a)),
        Write::file(&first, &[a_fails.clone(), b.clone(), a_again]),
        Write::file(&repeat, from_ref(&b)),
        settlement(&endpoint, &first, from_ref(&a), &[]),
        settlement(&endpoint, &repeat, from_ref(&a), &[]),
        settlement(&endpoint, &first, from_ref(&b), from_ref(&a.model)),
        settlement(&endpoint, &first, &[a_fails, b], from_ref(&a.model)),
        Write::settle(&first, &[], given_up, [a.model]),
        fallback(&endpoint, &repeat),
    ]
}

#[test]
fn an_update_does_to_an_item_what_the_write_does_to_the_mailbox() {
    let writes = writes();
    // Every mailbox that three of the writes, one after the other, can make.
    let mut mailboxes: Vec<Option<Mailbox>> = vec![None];
    let mut begun = 0;
    for _ in 0..3 {
        let known = mailboxes.len();
        for at in begun..known {
            for write in &writes {
                let written = write.apply(mailboxes[at].as_ref()).into_mailbox();
                if !mailboxes.contains(&written) {
                    mailboxes.push(written);
                }
            }
        }
        begun = known;
    }
    let mut of_before = mailboxes.iter().flatten().find(|m| m.opening.is_some()).unwrap().clone();
    of_before.opening.as_mut().unwrap().opened = None;
    mailboxes.push(Some(of_before));
    assert!(mailboxes.len() > 50, "{} mailboxes", mailboxes.len());

    for write in writes.iter().filter(|write| !write.opens()) {
        let update = Update::of(write, AFTER);
        assert_accepted(&update);
        let key = ledger::key(write.envelope.id).into();
        for former in &mailboxes {
            let made = evaluate(&update, &key, former.as_ref().map(|m| item(m, BEFORE)).as_ref());
            let expected = match write.apply(former.as_ref()) {
                Written::Applied(mailbox) => {
                    let replaces = write.set.contains(&Assignment::Envelope);
                    let is_new = former.is_none() || replaces;
                    Some(item(&mailbox, if is_new { AFTER } else { BEFORE }))
                }
                Written::Refused(_) | Written::Forgotten => None,
            };
            assert_eq!(made, expected, "{write:?} on {former:?}");
        }
    }
}
