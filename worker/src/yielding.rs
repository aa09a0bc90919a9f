//! Which claim is given up when somebody else waits: one that nobody was at lately before one that is held for an active
//! session, and among equals the one that was quiet for longest. A busy one never is.

use common::domain::ids::ProjectUser;
use tokio::time::Instant;

use crate::me::Me;
use crate::sessions;

/// Why a quiet claim is kept at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// For nobody in particular.
    Idle,
    /// For a session that was active lately.
    Held,
}

/// A claim under which nothing runs, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiet {
    /// Which.
    pub key: ProjectUser,
    /// Since when.
    pub since: Instant,
}

/// The claim to give up; none when none is quiet.
pub async fn least_needed(me: &Me, quiet: Vec<Quiet>) -> Option<ProjectUser> {
    if let [only] = &quiet[..] {
        return Some(only.key.clone());
    }
    let now = me.cloud.clock.now();
    let mut needs = Vec::new();
    for claim in quiet {
        let active = sessions::are_active(&*me.cloud.store, &claim.key, now).await;
        needs.push((if active { Need::Held } else { Need::Idle }, claim));
    }
    choose(needs)
}

fn choose(needs: Vec<(Need, Quiet)>) -> Option<ProjectUser> {
    needs.into_iter().min_by_key(|(need, claim)| (*need, claim.since)).map(|(_, claim)| claim.key)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn s73_idle_claims_go_before_held_ones_and_the_longest_quiet_one_first() {
        let begun = Instant::now();
        let quiet = |user: &str, after: u64| Quiet {
            key: ProjectUser::parse(&format!("bakery#{user}")).unwrap(),
            since: begun + Duration::from_secs(after),
        };
        let mut claims = vec![
            (Need::Held, quiet("held-long", 1)),
            (Need::Idle, quiet("idle", 9)),
            (Need::Idle, quiet("idle-long", 5)),
            (Need::Held, quiet("held", 2)),
        ];
        for expected in ["idle-long", "idle", "held-long", "held"] {
            let chosen = choose(claims.clone()).unwrap();
            assert_eq!(chosen.user.as_str(), expected);
            claims.retain(|(_, claim)| claim.key != chosen);
        }
        assert_eq!(choose(claims), None);
    }
}
