//! Which conversation a mail joins, over the whole path: what is written by one mail is found by the next.

use std::fmt::Write as _;

use common::domain::ids::{CommandId, EmailAddress, ThreadId};

use super::support::{World, text};

/// A mail to hermes with these header fields.
fn letter(from: &str, id: &str, fields: &[(&str, &str)], body: &str) -> String {
    let mut raw = format!("From: {from}\r\nTo: hermes@localhost\r\nSubject: Hours\r\nMessage-ID: <{id}>\r\n");
    for (name, value) in fields {
        let _ = write!(raw, "{name}: {value}\r\n");
    }
    format!("{raw}\r\n{body}\r\n")
}

async fn thread_of(world: &World, id: &str, fields: &[(&str, &str)]) -> String {
    let raw = letter("scott@example.org", id, fields, &format!("Do {id}."));
    text(&world.accepted(raw).await, "threadId").to_owned()
}

#[tokio::test]
async fn s16_mails_that_refer_to_the_same_mail_share_a_thread_whichever_comes_first() {
    let world = World::with_scott().await;
    let a = thread_of(&world, "a@x", &[]).await;
    assert_eq!(thread_of(&world, "c@x", &[("References", "<a@x> <b@x>")]).await, a);
    assert_eq!(thread_of(&world, "d@x", &[("References", "<a@x>\r\n <c@x>")]).await, a);
    let ghost = thread_of(&world, "f@x", &[("References", "<never-seen@x>")]).await;
    assert_ne!(ghost, a);
    assert_eq!(thread_of(&world, "g@x", &[("References", "<never-seen@x> <other@x>")]).await, ghost);
}

#[tokio::test]
async fn a_reply_that_comes_before_its_parent_shares_its_thread() {
    let world = World::with_scott().await;
    let reply = thread_of(&world, "reply@x", &[("In-Reply-To", "<parent@x>")]).await;
    assert_eq!(thread_of(&world, "parent@x", &[]).await, reply);
}

#[tokio::test]
async fn s17_in_reply_to_alone_is_enough_and_may_hold_prose() {
    let world = World::with_scott().await;
    let a = thread_of(&world, "a@x", &[]).await;
    let prose = [("In-Reply-To", "Your message of \"Mon, 3 Mar\" <a@x> (sent twice)")];
    assert_eq!(thread_of(&world, "b@x", &prose).await, a);
}

#[tokio::test]
async fn s18_an_id_leads_to_its_thread_with_angle_brackets_or_without() {
    let world = World::with_scott().await;
    let a = thread_of(&world, "a@x", &[]).await;
    for (n, (name, value)) in
        [("In-Reply-To", "a@x"), ("In-Reply-To", "<a@x>"), ("References", "a@x"), ("References", " <a@x> ")]
            .iter()
            .enumerate()
    {
        assert_eq!(thread_of(&world, &format!("b{n}@x"), &[(name, value)]).await, a, "{name}: {value}");
    }
    let bare = letter("scott@example.org", "c@x", &[], "Do c.").replace("<c@x>", "c@x");
    let bare = text(&world.accepted(bare).await, "threadId").to_owned();
    assert_eq!(thread_of(&world, "d@x", &[("In-Reply-To", "<c@x>")]).await, bare, "its own id without them");
}

#[tokio::test]
async fn s19_a_quoted_conversation_line_leads_to_its_thread() {
    let world = World::with_scott().await;
    let a = thread_of(&world, "a@x", &[]).await;
    let raw = letter("scott@example.org", "b@x", &[], &format!("Blue.\r\n\r\n> Conversation ID: {a}"));
    let answer = world.accepted(raw).await;
    assert_eq!(text(&answer, "threadId"), a);
    let works = world.works("amelia#scott").await;
    assert_eq!(works[0]["threadId"], works[1]["threadId"]);
    let mut branches = Vec::new();
    for work in &works {
        branches.push(world.job(text(work, "commandId")).await.branch);
    }
    assert_eq!(branches[0], branches[1], "the same branch");
}

#[tokio::test]
async fn our_reply_address_and_our_message_id_lead_to_their_thread() {
    let world = World::with_scott().await;
    let a = ThreadId::parse(&thread_of(&world, "a@x", &[]).await).unwrap();
    let own = EmailAddress::parse("hermes@localhost").unwrap();
    let to = world.app.secret.reply_address(&own, &a).unwrap();
    assert_eq!(thread_of(&world, "b@x", &[("Cc", to.as_str())]).await, a.as_str());
    let id = world.app.secret.message_id(&a, CommandId::parse("c1").unwrap(), "localhost");
    assert_eq!(thread_of(&world, "c@x", &[("In-Reply-To", &format!("<{id}>"))]).await, a.as_str());
}

/// What a real client can keep of an answer of ours, each alone: the address, the id in one field or the other, the line.
fn signals(sent: &str) -> Vec<(String, String, String)> {
    let answer = hermes::mail::read(sent.as_bytes()).unwrap();
    let to = answer.header("reply-to").next().unwrap().to_owned();
    let id = format!("<{}>", answer.message_id.as_ref().unwrap());
    let quoted = format!("> {}\r\n", answer.text.lines().collect::<Vec<_>>().join("\r\n> "));
    assert!(quoted.contains("> Conversation ID: "), "{quoted}");
    let desk = "hermes@localhost".to_owned();
    vec![
        (to, String::new(), String::new()),
        (desk.clone(), format!("In-Reply-To: {id}\r\n"), String::new()),
        (desk.clone(), format!("References: <elsewhere@x> {id}\r\n"), String::new()),
        (desk, String::new(), format!("On Tuesday Hermes wrote:\r\n{quoted}")),
    ]
}

/// Posts a reply to a mail of ours for each of its signals; every one must join.
async fn replies(world: &World, thread: &str, sent: &str) {
    for (to, fields, quoted) in signals(sent) {
        let raw = format!(
            "From: scott@example.org\r\nTo: {to}\r\nSubject: Re: Hours\r\n{fields}\r\nBlue.\r\n\r\n{quoted}"
        );
        let answer = world.accepted(raw.clone()).await;
        assert_eq!((text(&answer, "ending"), text(&answer, "threadId")), ("routed", thread), "{raw}");
        world.works("amelia#scott").await;
    }
}

#[tokio::test]
async fn a_reply_to_any_mail_of_ours_finds_its_thread_by_each_signal_alone() {
    let world = World::with_scott().await;
    let first = world.accepted(letter("scott@example.org", "a@x", &[], "Open at 8.")).await;
    let (thread, command) = (text(&first, "threadId").to_owned(), text(&first, "commandId").to_owned());
    let id = CommandId::parse(&command).unwrap();
    hermes::results::acknowledge(&world.app, &id).await.unwrap();
    for (n, word) in ["status", "help"].iter().enumerate() {
        let raw = letter("scott@example.org", &format!("w{n}@x"), &[("In-Reply-To", "<a@x>")], word);
        assert_eq!(text(&world.accepted(raw).await, "ending"), "command-done");
    }
    world.report(serde_json::to_string(&world.result(&command).await).unwrap()).await;
    let sent = world.outbox();
    assert_eq!(sent.len(), 4, "acknowledgement, status, help, answer");
    for mail in sent {
        replies(&world, &thread, &mail).await;
    }
}

#[tokio::test]
async fn s20_the_third_and_the_tenth_mail_are_of_the_same_thread_and_owner() {
    let world = World::with_scott().await;
    world.project("bakery").await;
    world.sender("scott@example.org", "bakery", "scott").await;
    let first = letter("scott@example.org", "1@x", &[("Cc", "amelia@localhost")], "Open at 1.");
    let mut last = world.accepted(first).await;
    let thread = text(&last, "threadId").to_owned();
    for number in 2..=10 {
        let command = text(&last, "commandId").to_owned();
        world.report(serde_json::to_string(&world.result(&command).await).unwrap()).await;
        let answered = world.mail(text(&last, "mailId")).await.reply_message_id.unwrap();
        let (field, id) = (["In-Reply-To", "References"][number % 2], format!("<{answered}>"));
        let body = format!("Open at {number}.");
        let raw = letter("scott@example.org", &format!("{number}@x"), &[(field, &id)], &body);
        last = world.accepted(raw).await;
        assert_eq!(text(&last, "threadId"), thread, "mail {number}");
    }
    let works = world.works("amelia#scott").await;
    assert_eq!(works.len(), 10);
    assert!(works.iter().all(|work| work["threadId"] == thread.as_str() && work["userId"] == "scott"));
    assert!(world.works("bakery#scott").await.is_empty());
}

#[tokio::test]
async fn s20_the_third_and_the_tenth_mail_of_a_conversation_stay_with_it_and_with_whom_it_is() {
    let world = World::with_scott().await;
    world.sender("mary@example.org", "amelia", "mary").await;
    let first = thread_of(&world, "m1@x", &[]).await;
    for n in 2..=10 {
        // Each answers the one before it, in the way of another program: the whole chain, its end, or In-Reply-To alone.
        let chain = (1..n).map(|n| format!("<m{n}@x>")).collect::<Vec<_>>().join("\r\n ");
        let before = format!("<m{}@x>", n - 1);
        let fields: &[(&str, &str)] = match n % 3 {
            0 => &[("References", &chain), ("In-Reply-To", &before)],
            1 => &[("References", &before)],
            _ => &[("In-Reply-To", &before)],
        };
        assert_eq!(thread_of(&world, &format!("m{n}@x"), fields).await, first, "mail {n}");
    }
    let works = world.works("amelia#scott").await;
    assert_eq!(works.len(), 10);
    assert!(works.iter().all(|work| work["threadId"] == first.as_str()));
    assert!(world.works("amelia#mary").await.is_empty());
}

#[tokio::test]
async fn s22_no_signal_leads_into_the_thread_of_somebody_else() {
    let world = World::with_scott().await;
    world.sender("mary@example.org", "amelia", "mary").await;
    let scotts = ThreadId::parse(&thread_of(&world, "a@x", &[]).await).unwrap();
    let own = EmailAddress::parse("hermes@localhost").unwrap();
    let to = world.app.secret.reply_address(&own, &scotts).unwrap();
    let id = world.app.secret.message_id(&scotts, CommandId::parse("c1").unwrap(), "localhost");
    let fields = [("In-Reply-To", format!("<{id}>")), ("References", "<a@x>".into()), ("Cc", to.to_string())];
    for (n, (name, value)) in fields.iter().enumerate() {
        let body = format!("Red.\r\n> Conversation ID: {scotts}");
        let raw = letter("mary@example.org", &format!("m{n}@x"), &[(name, value)], &body);
        let answer = world.accepted(raw).await;
        assert_ne!(text(&answer, "threadId"), scotts.as_str(), "{name}");
        assert_eq!(world.works("amelia#mary").await.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn s22_whoever_may_not_write_about_a_thread_is_refused_whatever_leads_to_it() {
    let world = World::with_scott().await;
    world.project("bakery").await;
    world.sender("bob@example.org", "bakery", "bob").await;
    let scotts = ThreadId::parse(&thread_of(&world, "a@x", &[]).await).unwrap();
    world.works("amelia#scott").await;
    let own = EmailAddress::parse("hermes@localhost").unwrap();
    let to = world.app.secret.reply_address(&own, &scotts).unwrap();
    for (n, (from, cc, wanted)) in [
        ("stranger@example.net", to.as_str(), "unknown-sender"),
        ("stranger@example.net", "amelia@localhost", "unknown-sender"),
        ("bob@example.org", "amelia@localhost", "not-permitted"),
    ]
    .iter()
    .enumerate()
    {
        let body = format!("Red.\r\n> Conversation ID: {scotts}");
        let raw = letter(from, &format!("m{n}@x"), &[("Cc", cc), ("In-Reply-To", "<a@x>")], &body);
        let answer = world.accepted(raw).await;
        assert_eq!((text(&answer, "ending"), answer.get("threadId")), (*wanted, None), "{from} {cc}");
    }
    for key in ["amelia#scott", "bakery#bob"] {
        assert!(world.works(key).await.is_empty(), "{key}");
    }
}
