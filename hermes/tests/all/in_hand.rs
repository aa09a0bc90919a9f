//! A mail that is being sent is left to whoever sends it, for as long as that may take: most carriers have no key by which
//! they would know a second one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::cloud::Result;
use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::mailer::{Mailer, OutgoingMail, Ready, Sent};
use common::domain::ids::EmailAddress;
use hermes::app::App;
use hermes::ingest::record::{MailRecord, Origin};
use hermes::ingest::{Arrival, accept};
use hermes::outbox::{OutboxRecord, OutboxState};
use hermes::secrets::SecretKey;
use hermes::sweep::Sweeper;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::support::{World, mail, serve_settings, until};

const LONGEST: Duration = Duration::from_mins(3);
/// What the carrier calls a mail.
const OTHER_NAME: &str = "0102@carrier.example";

/// Takes its time: a mail is on its way until it is let through.
struct Slow {
    begun: AtomicUsize,
    through: Semaphore,
}

#[async_trait]
impl Mailer for Slow {
    async fn send(&self, _: &OutgoingMail) -> Result<Sent> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let _through = self.through.acquire().await.unwrap();
        Ok(Sent { place: "somewhere".into(), message_id: Some(OTHER_NAME.into()) })
    }

    async fn ready(&self, _: &EmailAddress) -> Result<Ready> {
        Ok(Ready::Yes("somebody".into()))
    }

    fn longest(&self) -> Duration {
        LONGEST
    }

    fn goes_out(&self) -> bool {
        true
    }
}

/// Another hermes over the same tables whose carrier is slow.
fn slow_hermes(world: &World) -> (Arc<App>, Arc<Slow>) {
    let slow = Arc::new(Slow { begun: AtomicUsize::default(), through: Semaphore::new(0) });
    let mut cloud = world.cloud().clone();
    cloud.mailer = slow.clone();
    let secret = SecretKey::kept_in(world.folder.path()).unwrap();
    (Arc::new(App::new(cloud, &serve_settings(&["--trust", "all"]).mail, secret, 8026)), slow)
}

async fn asks_for_help(app: Arc<App>) {
    asks(&app, "1").await;
}

async fn asks(app: &App, id: &str) {
    accept(app, Arrival::bare(mail(id, "help"), Origin::Http)).await.unwrap();
}

/// Six letters for a carrier that answers none of them, with the loop that sends.
async fn held_up(world: &World) -> (Arc<App>, Arc<Slow>, CancellationToken, tokio::task::JoinHandle<()>) {
    let ((app, slow), stop) = (slow_hermes(world), CancellationToken::new());
    let sending = tokio::spawn(hermes::sending::run(app.clone(), stop.clone()));
    let written = async {
        for id in ["1", "2", "3", "4", "5", "6"] {
            asks(&app, id).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.expect("nobody waits for the carrier");
    until("four are on their way", async || slow.begun.load(Ordering::SeqCst) == 4).await;
    (app, slow, stop, sending)
}

#[tokio::test]
async fn a_carrier_that_does_not_answer_holds_up_neither_mails_nor_the_sweep() {
    let world = World::with_scott().await;
    let (app, slow, stop, sending) = held_up(&world).await;
    world.clock.advance(LONGEST + Duration::from_secs(6));
    let sweep = async { Sweeper::new(app.clone()).sweep().await };
    tokio::time::timeout(Duration::from_secs(10), sweep)
        .await
        .expect("the sweep does not wait for it either");
    assert_eq!(slow.begun.load(Ordering::SeqCst), 4, "no more at once");
    slow.through.add_permits(100);
    stop.cancel();
    sending.await.unwrap();
    let (rows, _) = app.cloud.store.list::<OutboxRecord>(9, None).await.unwrap();
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().all(|row| row.state == OutboxState::Sent), "what waited was sent: {rows:?}");
    asks(&app, "7").await;
    assert_eq!(app.cloud.store.list::<OutboxRecord>(9, None).await.unwrap().0.len(), 7);
}

#[tokio::test]
async fn what_waited_too_long_for_its_carrier_is_left_to_who_has_it() {
    let world = World::with_scott().await;
    let (_, slow, stop, sending) = held_up(&world).await;
    world.clock.advance(LONGEST + Duration::from_secs(4));
    Sweeper::new(world.app.clone()).sweep().await;
    assert!(world.outbox().is_empty(), "all are reserved, those that wait as well");
    world.clock.advance(Duration::from_secs(2));
    Sweeper::new(world.app.clone()).sweep().await;
    assert_eq!(world.outbox().len(), 6);
    slow.through.add_permits(100);
    stop.cancel();
    sending.await.unwrap();
    assert_eq!(slow.begun.load(Ordering::SeqCst), 4, "the two that waited are with somebody else");
}

#[tokio::test]
async fn nobody_sends_what_somebody_is_sending() {
    let world = World::with_scott().await;
    let (app, slow) = slow_hermes(&world);
    let sending = tokio::spawn(asks_for_help(app.clone()));
    until("the mail is on its way", async || slow.begun.load(Ordering::SeqCst) == 1).await;
    world.clock.advance(LONGEST.saturating_sub(Duration::from_secs(1)));
    for hermes in [&app, &world.app] {
        Sweeper::new(hermes.clone()).sweep().await;
    }
    assert_eq!((slow.begun.load(Ordering::SeqCst), world.outbox().len()), (1, 0));
    slow.through.add_permits(1);
    sending.await.unwrap();
    world.clock.advance(LONGEST);
    Sweeper::new(world.app.clone()).sweep().await;
    assert!(world.outbox().is_empty(), "it was sent");
}

#[tokio::test]
async fn what_somebody_was_sending_who_is_gone_is_sent_after_the_longest_time_that_takes() {
    let world = World::with_scott().await;
    let (app, slow) = slow_hermes(&world);
    let sending = tokio::spawn(asks_for_help(app));
    until("the mail is on its way", async || slow.begun.load(Ordering::SeqCst) == 1).await;
    sending.abort();
    world.clock.advance(LONGEST);
    Sweeper::new(world.app.clone()).sweep().await;
    assert_eq!(world.outbox().len(), 1);
}

/// Sends an answer, with the n-th row that is written once the carrier has it not written; then the sweep comes.
async fn cut_at(nth: u64) -> (World, usize) {
    let world = World::with_scott().await;
    let (app, slow) = slow_hermes(&world);
    let sending = tokio::spawn(asks_for_help(app.clone()));
    until("the mail is on its way", async || slow.begun.load(Ordering::SeqCst) == 1).await;
    world.plan.add(Calls::Of(Operation::PutRow), When::Nth(nth), Fate::FailBefore);
    slow.through.add_permits(9);
    let _ended_in_an_error = sending.await;
    assert_eq!(world.plan.count(Operation::PutRow, Fate::FailBefore), 1, "row {nth} is written");
    world.plan.heal();
    world.clock.advance(LONGEST);
    Sweeper::new(app).sweep().await;
    (world, slow.begun.load(Ordering::SeqCst))
}

#[tokio::test]
async fn what_a_carrier_has_is_not_sent_again_however_little_could_be_written_down_after() {
    for nth in 2..=5 {
        let (world, sent) = cut_at(nth).await;
        assert_eq!(sent, 1, "row {nth}");
        let (mails, _) = world.cloud().store.list::<MailRecord>(9, None).await.unwrap();
        let [mail] = mails.as_slice() else { panic!("{mails:?}") };
        assert_eq!(mail.reply_message_id.as_deref(), Some(OTHER_NAME), "row {nth}");
        let row: OutboxRecord =
            world.cloud().store.load(&format!("command-{}", mail.mail_id)).await.unwrap().unwrap().value;
        assert_eq!((row.state, row.message_id.as_str()), (OutboxState::Sent, OTHER_NAME), "row {nth}");
    }
}

#[tokio::test]
async fn only_when_not_even_that_it_was_sent_could_be_written_down_it_is_sent_again() {
    assert_eq!(cut_at(1).await.1, 2);
}
