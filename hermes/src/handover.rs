//! Work that a state machine puts on its queue: it is handed over once per command, and the state machine announces it when
//! nobody owns the key. A busy owner is asked by us to let it go first, as always.

use common::cloud::Result;
use common::cloud::callback::Errand;
use common::domain::ids::MailId;
use common::messages::Work;

use crate::app::App;
use crate::config::Orchestrator;
use crate::dispatch;
use crate::mail::trace::{Stage, Trace};

/// The largest work that goes into the input of an execution (256 KiB with all that is beside it); larger work is sent
/// directly, which comes to the same for its worker.
const MAX_WORK_BYTES: usize = 200 * 1024;

/// Whether this work goes by the state machine.
pub fn takes(orchestrator: Orchestrator, work: &Work) -> bool {
    match orchestrator {
        Orchestrator::Direct => false,
        Orchestrator::StepFunctions => work.to_json().len() <= MAX_WORK_BYTES,
    }
}

/// Hands it over.
pub async fn hand_over(app: &App, work: &Work, mail: &MailId, trace: &mut Trace) -> Result<()> {
    let (cloud, key) = (&app.cloud, work.project_user());
    let errand = Errand {
        command: work.command_id.clone(),
        key: key.clone(),
        work: work.to_json(),
        announcement: dispatch::announcement(cloud, &key, Some(&work.thread_id), Some(mail)).to_json(),
    };
    cloud.callback.hand_over(&errand).await?;
    trace.note(Stage::Dispatch, "handed to the state machine");
    dispatch::interrupt_owner(cloud, work, trace).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::domain::ids::{ThreadId, UserId};
    use common::domain::timestamp::Timestamp;
    use common::messages::WorkDraft;

    fn work(instruction: &str) -> Work {
        let body = serde_json::json!({
            "type": "work", "projectId": "amelia", "userId": "scott", "instruction": instruction,
        });
        let draft = WorkDraft::parse(&body.to_string(), "m", Timestamp::default()).unwrap();
        let thread = ThreadId::parse("abcdef").unwrap();
        draft.complete(UserId::parse("scott").unwrap(), thread, "https://example.org/a.git".to_owned())
    }

    #[test]
    fn only_work_that_fits_goes_by_the_state_machine() {
        assert!(!takes(Orchestrator::Direct, &work("x")));
        assert!(takes(Orchestrator::StepFunctions, &work("x")));
        assert!(!takes(Orchestrator::StepFunctions, &work(&"x".repeat(MAX_WORK_BYTES))));
    }
}
