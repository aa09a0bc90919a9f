//! A mail that is being sent is left to whoever sends it, for as long as that may take: most carriers have no key by which
//! they would know a second one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::cloud::Result;
use common::cloud::mailer::{Mailer, OutgoingMail, Sent};
use hermes::app::App;
use hermes::ingest::record::Origin;
use hermes::ingest::{Arrival, accept};
use hermes::secrets::SecretKey;
use hermes::sweep::Sweeper;
use tokio::sync::Semaphore;

use crate::support::{World, mail, serve_settings, until};

const LONGEST: Duration = Duration::from_mins(3);

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
        Ok(Sent { place: "somewhere".into(), message_id: None })
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
