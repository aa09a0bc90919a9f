//! The state machine, when there is a role for it: as deploy/email-processor.asl.json has it.

use aws_sdk_sfn::types::{StateMachineType, Tag};
use serde_json::Value;

use super::{Ground, OWNER_TAG, foreign, is_due};
use crate::cloud::Result;
use crate::cloud::aws::error::{failed, says};
use crate::cloud::provision::{Item, Kind, Standing};
use crate::domain::names;

/// The machine, built in, as the partition `aws` has it.
const IN_AWS: &str = include_str!("../../../../../deploy/email-processor.asl.json");
const NO_MACHINE: &[&str] = &["StateMachineDoesNotExist"];

/// How it stands; none when there is no role for it.
pub(super) async fn look(ground: &Ground) -> Result<Option<Item>> {
    if ground.role.is_none() {
        return Ok(None);
    }
    let name = names::state_machine(&ground.names.prefix);
    Ok(Some(Item { kind: Kind::StateMachine, standing: standing(ground, &name).await?, name }))
}

/// Makes or mends it when it is due.
pub(super) async fn make(ground: &Ground, items: &[Item]) -> Result<()> {
    let name = names::state_machine(&ground.names.prefix);
    let Some(role) = ground.role.as_ref().filter(|_| is_due(items, &name)) else { return Ok(()) };
    let (sfn, what) = (&ground.clients.sfn, format!("making the state machine {name}"));
    let definition = definition(ground.names.partition());
    if items.iter().any(|item| item.name == name && item.standing == Standing::Missing) {
        let owner = Tag::builder().key(OWNER_TAG).value(ground.names.prefix.as_str()).build();
        let request =
            sfn.create_state_machine().name(&name).role_arn(role).definition(definition).tags(owner);
        let made = request.r#type(StateMachineType::Standard).send().await;
        return made.map(|_| ()).map_err(|error| failed(&what, &error));
    }
    let arn = ground.names.state_machine_arn().await?;
    let request = sfn.update_state_machine().state_machine_arn(arn).role_arn(role).definition(definition);
    request.send().await.map(|_| ()).map_err(|error| failed(&what, &error))
}

async fn standing(ground: &Ground, name: &str) -> Result<Standing> {
    let (sfn, arn) = (&ground.clients.sfn, ground.names.state_machine_arn().await?);
    let found = match sfn.describe_state_machine().state_machine_arn(&arn).send().await {
        Ok(found) => found,
        Err(error) if says(&error, NO_MACHINE) => return Ok(Standing::Missing),
        Err(error) => return Err(failed(&format!("looking at the state machine {name}"), &error)),
    };
    let tags = sfn.list_tags_for_resource().resource_arn(&arn).send().await;
    let tags = tags.map_err(|error| failed(&format!("reading the tags of {name}"), &error))?.tags;
    let tag = tags.unwrap_or_default().into_iter().find(|tag| tag.key() == Some(OWNER_TAG));
    if let Some(standing) = foreign(&ground.names.prefix, tag.as_ref().and_then(|tag| tag.value())) {
        return Ok(standing);
    }
    let wanted = as_json(&definition(ground.names.partition()));
    let same = as_json(&found.definition) == wanted && Some(&found.role_arn) == ground.role.as_ref();
    Ok(if same { Standing::Ready } else { Standing::Differs("its definition or role is another".to_owned()) })
}

/// Its tasks are named after the partition they run in.
fn definition(partition: &str) -> String {
    IN_AWS.replace("\"arn:aws:states:::", &format!("\"arn:{partition}:states:::"))
}

fn as_json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_named_after_the_partition_that_they_run_in() {
        assert_eq!(definition("aws"), IN_AWS);
        for partition in ["aws-us-gov", "aws-cn"] {
            let text = definition(partition);
            assert!(
                !text.contains("arn:aws:")
                    && text.contains(&format!("\"arn:{partition}:states:::sqs:sendMessage\""))
            );
            assert!(as_json(&text).is_some());
        }
    }
}
