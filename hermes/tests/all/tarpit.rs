//! Name servers that never answer keep nobody from files but the mails that wait for them.

use std::collections::HashSet;
use std::time::Duration;

use common::cloud::files::{At, IfMatch};
use hermes::ingest::record::Origin;
use hermes::ingest::verify::{Dns, Word};
use hermes::ingest::{Arrival, accept};
use hermes::mail::read;
use tokio::net::UdpSocket;

use crate::support::{World, mail};
use crate::trust::Signer;

/// As many threads for files as `hermes serve` has, and more mails.
const THREADS: usize = 32;
const MAILS: usize = 40;

/// What must be done while this many names are asked for and none is answered: a file is read.
fn a_file_is_read_at_once(begin: fn(&World), asked: usize) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(THREADS).enable_all().build().unwrap();
    let tried = runtime.block_on(async {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let world = World::asking(Dns::Server(silent.local_addr().unwrap()));
        let place = At::object("a-file");
        world.cloud().files.put(&place, "x".into(), IfMatch::Any).await.unwrap();
        begin(&world);
        let heard = names(&silent, asked);
        tokio::time::timeout(Duration::from_secs(8), heard).await.expect("names are asked for");
        tokio::time::timeout(Duration::from_secs(2), world.cloud().files.get(&place)).await
    });
    runtime.shutdown_background();
    assert!(tried.expect("a file is read at once").unwrap().is_some());
}

/// Waits until so many different names were asked for.
async fn names(server: &UdpSocket, wanted: usize) {
    let (mut names, mut question) = (HashSet::new(), [0; 512]);
    while names.len() < wanted {
        let (length, _) = server.recv_from(&mut question).await.unwrap();
        // Behind the header (RFC 1035, section 4.1): the first question, which begins with its name.
        names.insert(question[12..length].to_ascii_lowercase());
    }
}

/// Mails of this length, each signed by a domain of its own.
fn signed(length: usize) -> impl Iterator<Item = String> {
    let one = move |number| {
        let raw = mail(&format!("{number}"), &"word ".repeat(length / 5));
        Signer::new().sign(&format!("d{number}.example.net"), &["From"], &raw)
    };
    (0..MAILS).map(one)
}

#[test]
fn more_mails_than_threads_whose_name_servers_never_answer_hold_no_thread() {
    let hand_in = |world: &World| {
        for raw in signed(100) {
            let app = world.app.clone();
            tokio::spawn(async move { accept(&app, Arrival::bare(raw, Origin::Queue)).await });
        }
    };
    a_file_is_read_at_once(hand_in, MAILS);
}

#[test]
fn of_large_ones_so_few_are_checked_at_once_that_threads_are_left() {
    let check = |world: &World| {
        for raw in signed(400 * 1024) {
            let app = world.app.clone();
            // Reading so much would take the rest of the test; its header is all that matters here.
            let head = read(&raw.as_bytes()[..2000]).unwrap();
            let check = async move { app.verifier.evidence(&head, &raw.into(), &Word::Nothing).await };
            tokio::spawn(check);
        }
    };
    a_file_is_read_at_once(check, 8);
}
