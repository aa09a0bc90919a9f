//! Names made from ids: legal for whatever they are, and never shared by two ids, over more than a million pairs.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use common::domain::ids::{Nonce, Owner, ProjectId, ProjectUser, UserId, WorkerId};
use common::domain::names::{self, Prefix, Queue};
use proptest::prelude::*;

/// Ids that are likely to meet: short ones of few letters with '-' in every place, long ones that differ late, the words
/// that queue names are made of, and enough others for a million pairs.
fn slugs() -> Vec<String> {
    let letters = ['a', 'b', '-'];
    let mut heads: Vec<String> = vec![String::new()];
    let mut slugs = Vec::new();
    for _ in 0..4 {
        heads = heads
            .iter()
            .flat_map(|head| letters.iter().map(move |letter| format!("{head}{letter}")))
            .collect();
        slugs.extend(heads.iter().filter(|slug| ProjectId::parse(slug).is_ok()).cloned());
    }
    for length in [20, 30, 39] {
        for tail in ["a", "b", "-a", "aa"] {
            slugs.push(format!("{}{tail}", "x".repeat(length - tail.len())));
        }
    }
    let words = ["amelia", "input", "dead", "control", "email", "unclaimed", "output"];
    slugs.extend(words.iter().map(|word| format!("{word}-dead")));
    slugs.extend(words.map(str::to_owned));
    slugs.extend((0..).map(|index| format!("site{index}")).take(1_010 - slugs.len()));
    slugs
}

fn is_queue_name(name: &str, prefix: &Prefix) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    name.len() <= 80
        && name.starts_with(prefix.as_str())
        && stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_folder_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
}

/// A number that stands for a name, so that a million of them fit into memory.
fn short(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn a_million_pairs_have_a_million_legal_names() {
    let slugs = slugs();
    let prefix = Prefix::parse(&"p".repeat(20)).unwrap();
    let projects: Vec<_> = slugs.iter().map(|slug| ProjectId::parse(slug).unwrap()).collect();
    let users: Vec<_> = slugs.iter().map(|slug| UserId::parse(slug).unwrap()).collect();
    let mut names: Vec<u64> = Vec::with_capacity(slugs.len() * slugs.len());
    let mut folders = names.clone();
    for project in &projects {
        for user in &users {
            let key = ProjectUser::new(project.clone(), user.clone());
            let folder = names::workspace(&key);
            let name = Queue::Input(key).name(&prefix);
            assert!(is_queue_name(&name, &prefix), "{name}");
            assert!(is_folder_name(&folder), "{folder}");
            names.push(short(&name));
            folders.push(short(&folder));
        }
    }
    assert!(names.len() >= 1_000_000, "{}", names.len());
    for mut set in [names, folders] {
        let all = set.len();
        set.sort_unstable();
        set.dedup();
        assert_eq!(set.len(), all, "two pairs share a name");
    }
}

#[test]
fn no_two_queues_of_an_environment_share_a_name() {
    let prefix = Prefix::parse("p").unwrap();
    let owner = |worker: &str, nonce: &str| Owner {
        worker: WorkerId::parse(worker).unwrap(),
        nonce: Nonce::parse(nonce).unwrap(),
    };
    let long = "w".repeat(64);
    let mut queues = vec![
        Queue::Email,
        Queue::EmailDead,
        Queue::Unclaimed,
        Queue::UnclaimedDead,
        Queue::Dead,
        Queue::Output,
        Queue::OutputDead,
        Queue::Control(owner("dead", "0000")),
        Queue::Control(owner("a-0000", "1111")),
        Queue::Control(owner("a", "0000")),
        Queue::Control(owner(&long, "0000")),
        Queue::Control(owner(&long, "0001")),
        Queue::Control(owner(&long[1..], "0000")),
    ];
    let keys = ["email#dead", "dead#dead", "a#b", "a-b#c", "a#b-c", "control#a"];
    queues.extend(keys.map(|key| Queue::Input(ProjectUser::parse(key).unwrap())));
    let mut seen = HashMap::new();
    for queue in queues {
        let name = queue.name(&prefix);
        assert!(is_queue_name(&name, &prefix), "{name}");
        if let Some(other) = seen.insert(name.clone(), queue.clone()) {
            panic!("{queue} and {other} are both {name}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_or_makes_legal_names(
        project in ".{0,45}|[a-z0-9-]{1,45}",
        user in ".{0,45}|[a-z0-9-]{1,45}",
        prefix in "[a-z0-9][a-z0-9-]{0,18}[a-z0-9]",
    ) {
        let prefix = Prefix::parse(&prefix).unwrap();
        if let (Ok(project), Ok(user)) = (ProjectId::parse(&project), UserId::parse(&user)) {
            let key = ProjectUser::new(project, user);
            let name = Queue::Input(key.clone()).name(&prefix);
            prop_assert!(is_queue_name(&name, &prefix), "{name}");
            prop_assert!(is_folder_name(&names::workspace(&key)));
            prop_assert_eq!(ProjectUser::parse(&key.to_string()).unwrap(), key);
        }
    }

    #[test]
    fn a_control_queue_is_legal_and_its_owners_differ(
        one in "[A-Za-z0-9_-]{1,64}", two in "[A-Za-z0-9_-]{1,64}", nonce in "[a-z0-9]{4,16}", other in "[a-z0-9]{4,16}",
    ) {
        let prefix = Prefix::parse("webordinary").unwrap();
        let owner = |worker: &str, nonce: &str| Owner {
            worker: WorkerId::parse(worker).unwrap(),
            nonce: Nonce::parse(nonce).unwrap(),
        };
        let (one, two) = (owner(&one, &nonce), owner(&two, &other));
        let names = [Queue::Control(one.clone()).name(&prefix), Queue::Control(two.clone()).name(&prefix)];
        prop_assert!(names.iter().all(|name| is_queue_name(name, &prefix)));
        prop_assert_eq!(names[0] == names[1], one == two);
    }
}
