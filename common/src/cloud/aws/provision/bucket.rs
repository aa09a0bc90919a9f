//! The private bucket: closed to the public, open to SES for mails, and forgetting what is kept for a time only.

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    PublicAccessBlockConfiguration, Tag, Tagging, TransitionDefaultMinimumObjectSize,
};

use super::{Ground, OWNER_TAG, foreign, is_due, policy};
use crate::cloud::aws::buckets::Buckets;
use crate::cloud::aws::error::{failed, says};
use crate::cloud::aws::files::NOTHING;
use crate::cloud::provision::{Item, Kind, Standing};
use crate::cloud::{CloudError, Result};
use crate::domain::names::{INBOUND_MAIL_PREFIX, OBJECTS_KEPT_FOR_DAYS};

/// How it stands.
pub(super) async fn look(ground: &Ground) -> Result<Item> {
    let name = ground.names.objects_bucket().await?;
    let standing = standing(ground, &name).await?;
    Ok(Item { kind: Kind::Bucket, name, standing })
}

/// Makes or mends it when it is due.
pub(super) async fn make(ground: &Ground, items: &[Item]) -> Result<()> {
    let name = ground.names.objects_bucket().await?;
    if !is_due(items, &name) {
        return Ok(());
    }
    let (s3, what) = (&ground.clients.s3, format!("setting up the bucket {name}"));
    Buckets::new(s3.clone(), ground.names.clone(), &ground.clients.region).make(&name).await?;
    let closed = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    let request = s3.put_public_access_block().bucket(&name).public_access_block_configuration(closed);
    request.send().await.map_err(|error| failed(&what, &error))?;
    let found = rules_of(ground, &name).await?;
    let request = s3.put_bucket_lifecycle_configuration().bucket(&name);
    let request = request.set_transition_default_minimum_object_size(found.smallest);
    let request = request.lifecycle_configuration(lifecycle(found.rules)?);
    request.send().await.map_err(|error| failed(&what, &error))?;
    let ours = policy::of_bucket(ground, &name).await?;
    let policy = policy::with(policy_of(ground, &name).await?.as_deref(), &ours)?;
    let request = s3.put_bucket_policy().bucket(&name).policy(policy);
    request.send().await.map_err(|error| failed(&what, &error))?;
    let request =
        s3.put_bucket_tagging().bucket(&name).tagging(owned(ground, tags_of(ground, &name).await?)?);
    request.send().await.map(|_| ()).map_err(|error| failed(&what, &error))
}

async fn policy_of(ground: &Ground, name: &str) -> Result<Option<String>> {
    match ground.clients.s3.get_bucket_policy().bucket(name).send().await {
        Ok(answer) => Ok(answer.policy),
        Err(error) if says(&error, &["NoSuchBucketPolicy"]) => Ok(None),
        Err(error) => Err(failed(&format!("reading the policy of {name}"), &error)),
    }
}

/// What the bucket forgets.
#[derive(Default)]
struct Rules {
    rules: Vec<LifecycleRule>,
    /// The size from which objects are moved to other classes of storage; it is set together with the rules.
    smallest: Option<TransitionDefaultMinimumObjectSize>,
}

async fn rules_of(ground: &Ground, name: &str) -> Result<Rules> {
    match ground.clients.s3.get_bucket_lifecycle_configuration().bucket(name).send().await {
        Ok(answer) => Ok(Rules {
            rules: answer.rules.unwrap_or_default(),
            smallest: answer.transition_default_minimum_object_size,
        }),
        Err(error) if says(&error, &["NoSuchLifecycleConfiguration"]) => Ok(Rules::default()),
        Err(error) => Err(failed(&format!("looking at the bucket {name}"), &error)),
    }
}

async fn tags_of(ground: &Ground, name: &str) -> Result<Vec<Tag>> {
    match ground.clients.s3.get_bucket_tagging().bucket(name).send().await {
        Ok(answer) => Ok(answer.tag_set),
        Err(error) if says(&error, &["NoSuchTagSet"]) => Ok(Vec::new()),
        Err(error) => Err(failed(&format!("reading the tags of {name}"), &error)),
    }
}

/// These tags with ours: S3 takes all of them together only.
fn owned(ground: &Ground, mut tags: Vec<Tag>) -> Result<Tagging> {
    tags.retain(|tag| tag.key != OWNER_TAG);
    tags.push(Tag::builder().key(OWNER_TAG).value(ground.names.prefix.as_str()).build().map_err(wrong)?);
    Tagging::builder().set_tag_set(Some(tags)).build().map_err(wrong)
}

/// These rules with ours: S3 takes all of them together only.
fn lifecycle(mut rules: Vec<LifecycleRule>) -> Result<BucketLifecycleConfiguration> {
    let ours = OBJECTS_KEPT_FOR_DAYS.map(|(prefix, days)| {
        LifecycleRule::builder()
            .id(format!("hermes {prefix}"))
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
            .expiration(LifecycleExpiration::builder().days(days.into()).build())
            .build()
    });
    let ours = ours.into_iter().collect::<std::result::Result<Vec<_>, _>>().map_err(wrong)?;
    rules.retain(|rule| ours.iter().all(|our| our.id != rule.id));
    rules.extend(ours);
    BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().map_err(wrong)
}

fn wrong(error: impl std::fmt::Display) -> CloudError {
    CloudError::Invalid(format!("the shape of the bucket: {error}"))
}

async fn standing(ground: &Ground, name: &str) -> Result<Standing> {
    let s3 = &ground.clients.s3;
    match s3.head_bucket().bucket(name).send().await {
        Ok(_) => {}
        Err(error) if says(&error, NOTHING) => return Ok(Standing::Missing),
        Err(error) => return Err(failed(&format!("looking at the bucket {name}"), &error)),
    }
    let tags = tags_of(ground, name).await?;
    let tag = tags.iter().find(|tag| tag.key == OWNER_TAG).map(|tag| tag.value.as_str());
    if let Some(standing) = foreign(&ground.names.prefix, tag) {
        return Ok(standing);
    }
    let found = rules_of(ground, name).await?.rules;
    let kept = |(prefix, days): (&str, u16)| {
        found.iter().any(|rule| {
            let expiry = rule.expiration.as_ref().and_then(|expiry| expiry.days);
            rule.filter.as_ref().and_then(|filter| filter.prefix()) == Some(prefix)
                && expiry == Some(days.into())
        })
    };
    let forgotten = OBJECTS_KEPT_FOR_DAYS.into_iter().all(kept);
    let ours = policy::of_bucket(ground, name).await?;
    let open = policy::says(policy_of(ground, name).await?.as_deref(), &ours);
    Ok(match (tag, forgotten, open) {
        (Some(_), true, true) => Standing::Ready,
        (None, ..) => Standing::Differs(format!("it is not tagged {OWNER_TAG}")),
        (_, false, _) => Standing::Differs("old mails and messages are not forgotten".to_owned()),
        (.., false) => Standing::Differs(format!("SES may not put mails below {INBOUND_MAIL_PREFIX}")),
    })
}
