//! Name servers that never answer keep nobody from files but the mails that wait for them.

use std::collections::HashSet;
use std::time::Duration;

use common::cloud::files::{At, IfMatch, Space};
use hermes::ingest::record::Origin;
use hermes::ingest::verify::Dns;
use hermes::ingest::{Arrival, accept};
use tokio::net::UdpSocket;

use crate::support::{World, mail, until};
use crate::trust::Signer;

/// As many threads for files as `hermes serve` has, and as many mails.
const THREADS: usize = 32;

/// Hands in mails of this length, whose signatures are all of other domains, until so many names were asked for; then reads
/// a file.
fn a_file_is_read_at_once(length: usize, asked: usize) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(THREADS).enable_all().build().unwrap();
    let tried = runtime.block_on(async {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let world = World::asking(Dns::Server(silent.local_addr().unwrap()));
        let place = At::object("a-file");
        world.cloud().files.put(&place, "x".into(), IfMatch::Any).await.unwrap();
        for number in 0..THREADS {
            let app = world.app.clone();
            let raw = mail(&number.to_string(), &"word ".repeat(length / 5));
            let signed = Signer::new().sign(&format!("d{number}.example.net"), &["From"], &raw);
            tokio::spawn(async move { accept(&app, Arrival::bare(signed, Origin::Queue)).await });
        }
        let files = &world.cloud().files;
        let begun = async {
            names(&silent, asked).await;
            let kept = async || files.list(&Space::Objects, "mail/raw/").await.unwrap().len() == THREADS;
            until("all mails to be kept", kept).await;
        };
        tokio::time::timeout(Duration::from_secs(8), begun)
            .await
            .expect("names are asked for, and mails kept");
        tokio::time::timeout(Duration::from_secs(2), files.get(&place)).await
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

#[test]
fn thirty_two_mails_whose_name_servers_never_answer_hold_no_thread() {
    a_file_is_read_at_once(100, THREADS);
}

#[test]
fn of_large_ones_so_few_are_checked_at_once_that_threads_are_left() {
    a_file_is_read_at_once(400 * 1024, 8);
}
