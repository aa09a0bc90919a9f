//! A mail that is being sent is left to whoever sends it, for as long as that may take: most carriers have no key by which
//! they would know a second one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::cloud::Result;
use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::mailer::{Mailer, OutgoingMail, Sent};
use hermes::app::App;
use hermes::ingest::record::{MailRecord, Origin};
use hermes::ingest::{Arrival, accept};
use hermes::outbox::{OutboxRecord, OutboxState};
use hermes::secrets::SecretKey;
use hermes::sweep::Sweeper;
use tokio::sync::Semaphore;

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

    fn longest(&self) -> Duration {
        LONGEST
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
    accept(&app, Arrival::bare(mail("1", "help"), Origin::Http)).await.unwrap();
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
