//! The ownership table.

use super::Stage;
use crate::cloud::CloudError;
use crate::cloud::claims::TakeAnswer;
use crate::domain::claim::{ClaimRecord, ClaimStatus, ClaimVersion, Epoch, Fence, Take};
use crate::domain::ids::{Owner, ProjectUser};
use crate::domain::timestamp::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

fn version(text: &str) -> ClaimVersion {
    ClaimVersion::from_stored(text.to_owned())
}

fn wish(owner: Owner, text: &str) -> Take {
    let control_queue = Some(format!("control-{owner}"));
    Take { owner, version: version(text), lapsed: None, lease_secs: 45, control_queue, now: NOW }
}

impl Stage {
    async fn taken(&self, key: &ProjectUser, worker: &str, text: &str) -> Fence {
        self.take(key, &wish(self.owner(worker, "0000"), text)).await
    }

    async fn take(&self, key: &ProjectUser, wanted: &Take) -> Fence {
        match self.cloud.claims.take(key, wanted).await.unwrap() {
            TakeAnswer::Taken(fence) => fence,
            TakeAnswer::Held(row) => panic!("held by {:?}", row.owner),
        }
    }

    async fn refused(&self, key: &ProjectUser, wanted: &Take) -> ClaimRecord {
        match self.cloud.claims.take(key, wanted).await.unwrap() {
            TakeAnswer::Taken(fence) => panic!("taken: {fence:?}"),
            TakeAnswer::Held(row) => *row,
        }
    }

    async fn row(&self, key: &ProjectUser) -> ClaimRecord {
        self.cloud.claims.get(key).await.unwrap().unwrap()
    }
}

fn assert_lost(answer: Result<(), CloudError>) {
    assert!(matches!(answer, Err(CloudError::FenceLost(_))), "{answer:?}");
}

pub(super) async fn an_absent_claim_is_none(stage: Stage) {
    assert_eq!(stage.cloud.claims.get(&stage.key("site")).await.unwrap(), None);
}

pub(super) async fn an_absent_claim_can_be_taken(stage: Stage) {
    let key = stage.key("site");
    let wanted = wish(stage.owner("a", "0000"), "v1");
    let fence = stage.take(&key, &wanted).await;
    assert_eq!(fence, Fence { project_key: key.clone(), owner: wanted.owner.clone(), epoch: Epoch(1) });
    let expected = ClaimRecord {
        project_key: key.clone(),
        owner: Some(wanted.owner),
        epoch: Epoch(1),
        version: version("v1"),
        lease_secs: 45,
        claimed_at: NOW,
        last_activity: NOW,
        status: ClaimStatus::Held,
        control_queue: wanted.control_queue,
    };
    assert_eq!(stage.row(&key).await, expected);
}

pub(super) async fn a_live_claim_cannot_be_taken(stage: Stage) {
    let key = stage.key("site");
    stage.taken(&key, "a", "v1").await;
    let row = stage.refused(&key, &wish(stage.owner("b", "0000"), "v2")).await;
    assert_eq!(row, stage.row(&key).await);
    assert_eq!(row.owner, Some(stage.owner("a", "0000")));
}

pub(super) async fn the_owner_cannot_take_it_once_more(stage: Stage) {
    let key = stage.key("site");
    stage.taken(&key, "a", "v1").await;
    stage.refused(&key, &wish(stage.owner("a", "0000"), "v2")).await;
}

pub(super) async fn a_lost_answer_of_a_take_is_recognised(stage: Stage) {
    let key = stage.key("site");
    let first = stage.taken(&key, "a", "v1").await;
    assert_eq!(stage.taken(&key, "a", "v1").await, first);
}

pub(super) async fn two_processes_with_one_id_are_two_owners(stage: Stage) {
    let key = stage.key("site");
    stage.taken(&key, "a", "v1").await;
    stage.refused(&key, &wish(stage.owner("a", "1111"), "v1")).await;
}

pub(super) async fn a_renewal_is_a_new_version(stage: Stage) {
    let key = stage.key("site");
    let fence = stage.taken(&key, "a", "v1").await;
    let later = NOW.plus(std::time::Duration::from_secs(15));
    stage.cloud.claims.renew(&fence, &version("v2"), later).await.unwrap();
    let row = stage.row(&key).await;
    assert_eq!((row.version, row.last_activity, row.claimed_at), (version("v2"), later, NOW));
    assert_eq!(row.epoch, Epoch(1));
}

pub(super) async fn a_stranger_cannot_renew(stage: Stage) {
    let key = stage.key("site");
    let fence = stage.taken(&key, "a", "v1").await;
    for stranger in [
        Fence { owner: stage.owner("b", "0000"), ..fence.clone() },
        Fence { owner: stage.owner("a", "1111"), ..fence.clone() },
        Fence { epoch: Epoch(2), ..fence },
    ] {
        assert_lost(stage.cloud.claims.renew(&stranger, &version("v2"), NOW).await);
        assert_lost(stage.cloud.claims.release(&stranger, &version("v2"), NOW).await);
    }
    assert_eq!(stage.row(&key).await.version, version("v1"));
}

pub(super) async fn nobody_renews_what_is_not_there(stage: Stage) {
    let key = stage.key("site");
    let fence = Fence { project_key: key.clone(), owner: stage.owner("a", "0000"), epoch: Epoch(1) };
    assert_lost(stage.cloud.claims.renew(&fence, &version("v1"), NOW).await);
    assert_lost(stage.cloud.claims.release(&fence, &version("v1"), NOW).await);
    assert_lost(stage.cloud.claims.free_lapsed(&key, &version("v0"), &version("v1"), NOW).await);
    assert_eq!(stage.cloud.claims.get(&key).await.unwrap(), None);
}

pub(super) async fn a_released_claim_is_free_and_keeps_its_epoch(stage: Stage) {
    let key = stage.key("site");
    let fence = stage.taken(&key, "a", "v1").await;
    stage.cloud.claims.release(&fence, &version("v2"), NOW).await.unwrap();
    let row = stage.row(&key).await;
    assert_eq!((row.status, row.epoch, row.owner), (ClaimStatus::Free, Epoch(1), None));
    assert_eq!((row.version, row.control_queue), (version("v2"), None));
}

pub(super) async fn a_free_claim_can_be_taken_with_the_next_epoch(stage: Stage) {
    let key = stage.key("site");
    let fence = stage.taken(&key, "a", "v1").await;
    stage.cloud.claims.release(&fence, &version("v2"), NOW).await.unwrap();
    assert_eq!(stage.taken(&key, "b", "v3").await.epoch, Epoch(2));
}

pub(super) async fn a_release_works_once(stage: Stage) {
    let key = stage.key("site");
    let fence = stage.taken(&key, "a", "v1").await;
    stage.cloud.claims.release(&fence, &version("v2"), NOW).await.unwrap();
    assert_lost(stage.cloud.claims.release(&fence, &version("v3"), NOW).await);
    assert_eq!(stage.row(&key).await.version, version("v2"));
}

pub(super) async fn a_lapsed_claim_can_be_taken_over(stage: Stage) {
    let key = stage.key("site");
    stage.taken(&key, "a", "v1").await;
    let over = Take { lapsed: Some(version("v1")), ..wish(stage.owner("b", "0000"), "v2") };
    assert_eq!(stage.take(&key, &over).await.epoch, Epoch(2));
    assert_eq!(stage.row(&key).await.owner, Some(over.owner));
}

pub(super) async fn a_renewed_claim_did_not_lapse(stage: Stage) {
    let key = stage.key("site");
    let fence = stage.taken(&key, "a", "v1").await;
    stage.cloud.claims.renew(&fence, &version("v2"), NOW).await.unwrap();
    let over = Take { lapsed: Some(version("v1")), ..wish(stage.owner("b", "0000"), "v3") };
    stage.refused(&key, &over).await;
}

pub(super) async fn a_former_owner_can_neither_renew_nor_release(stage: Stage) {
    let key = stage.key("site");
    let former = stage.taken(&key, "a", "v1").await;
    let over = Take { lapsed: Some(version("v1")), ..wish(stage.owner("b", "0000"), "v2") };
    stage.take(&key, &over).await;
    assert_lost(stage.cloud.claims.renew(&former, &version("v3"), NOW).await);
    assert_lost(stage.cloud.claims.release(&former, &version("v3"), NOW).await);
    assert_eq!(stage.row(&key).await.version, version("v2"));
}

pub(super) async fn the_sweep_frees_what_lapsed(stage: Stage) {
    let key = stage.key("site");
    stage.taken(&key, "a", "v1").await;
    stage.cloud.claims.free_lapsed(&key, &version("v1"), &version("v2"), NOW).await.unwrap();
    let row = stage.row(&key).await;
    assert_eq!((row.status, row.epoch, row.owner), (ClaimStatus::Free, Epoch(1), None));
}

pub(super) async fn the_sweep_leaves_what_moved(stage: Stage) {
    let key = stage.key("site");
    let fence = stage.taken(&key, "a", "v1").await;
    stage.cloud.claims.renew(&fence, &version("v2"), NOW).await.unwrap();
    assert_lost(stage.cloud.claims.free_lapsed(&key, &version("v1"), &version("v3"), NOW).await);
    stage.cloud.claims.release(&fence, &version("v4"), NOW).await.unwrap();
    assert_lost(stage.cloud.claims.free_lapsed(&key, &version("v4"), &version("v5"), NOW).await);
}

pub(super) async fn a_worker_finds_its_live_claims(stage: Stage) {
    let (one, two, given_back) = (stage.key("one"), stage.key("two"), stage.key("zzz"));
    stage.taken(&two, "a", "v1").await;
    stage.taken(&one, "a", "v2").await;
    stage.taken(&stage.key("three"), "b", "v3").await;
    let fence = stage.taken(&given_back, "a", "v4").await;
    stage.cloud.claims.release(&fence, &version("v5"), NOW).await.unwrap();
    let worker = stage.owner("a", "0000").worker;
    let found = stage.cloud.claims.held_by(&worker).await.unwrap();
    let keys: Vec<_> = found.into_iter().map(|row| row.project_key).collect();
    assert_eq!(keys, [one, two]);
}

pub(super) async fn live_claims_are_listed_in_order(stage: Stage) {
    let keys = ["a", "b", "c", "d"].map(|name| stage.key(name));
    for (index, key) in keys.iter().rev().enumerate() {
        stage.taken(key, "a", &format!("v{index}")).await;
    }
    let fence = Fence { project_key: keys[1].clone(), owner: stage.owner("a", "0000"), epoch: Epoch(1) };
    stage.cloud.claims.release(&fence, &version("free"), NOW).await.unwrap();
    let found = stage.cloud.claims.held(2).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|row| row.project_key).collect();
    assert_eq!(found, [keys[0].clone(), keys[2].clone()]);
}

pub(super) async fn of_many_takers_one_wins(stage: Stage) {
    let key = stage.key("site");
    let takers: Vec<_> = (0..16)
        .map(|index| {
            let (stage, key) = (stage.clone(), key.clone());
            let wanted = wish(stage.owner(&format!("w{index}"), "0000"), &format!("v{index}"));
            tokio::spawn(async move { stage.cloud.claims.take(&key, &wanted).await.unwrap() })
        })
        .collect();
    let mut winners = Vec::new();
    for taker in takers {
        if let TakeAnswer::Taken(fence) = taker.await.unwrap() {
            winners.push(fence.owner);
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(stage.row(&key).await.owner, winners.pop());
}
