//! Header fields of a mail that try to become header fields, or the body, of our answer.

use super::support::World;

/// What shall become a field of its own. `{}` is never in it: it is put behind some harmless words.
const PAYLOADS: [&str; 10] = [
    "\r\n Bcc: evil@example.net",
    "\r\n\tX-Evil: 1\r\n Bcc: evil@example.net",
    "\rBcc: evil@example.net",
    "=?utf-8?q?=0D=0ABcc:_evil@example.net?=",
    "=?utf-8?q?=0ABcc:_evil@example.net?=",
    "=?utf-8?b?DQpCY2M6IGV2aWxAZXhhbXBsZS5uZXQNCg0KRXZpbA==?=",
    "=?utf-8?q?a?= =?utf-8?q?=0D=0A=0D=0AEvil_body?=",
    "\u{2028}Bcc: evil@example.net\u{85}X-Evil: 1",
    "\0\u{b}\u{c}Bcc: evil@example.net",
    "=?utf-16?b?AA0ACgBCAGMAYwA6ACAAZQB2AGkAbABAAGUAdgBpAGwALgBuAGUAdA==?=",
];
/// Where it stands: everything that an answer takes over from a mail.
const PLACES: [(&str, &str); 5] = [
    ("Subject", "Help {}"),
    ("From", "\"Scott {}\" <{address}>"),
    ("Message-ID", "<{id}{}@example.org>"),
    ("In-Reply-To", "<a@example.org> {}"),
    ("References", "<a@example.org> <b{}@example.org> {}"),
];
/// The fields of an answer; each once at most.
const OURS: [&str; 14] = [
    "from",
    "to",
    "date",
    "message-id",
    "subject",
    "auto-submitted",
    "x-auto-response-suppress",
    "in-reply-to",
    "references",
    "reply-to",
    "mime-version",
    "content-type",
    "content-language",
    "content-transfer-encoding",
];

fn attack(place: (&str, &str), payload: &str, n: usize) -> String {
    let address = format!("owner{n}@example.org");
    let mut fields = vec![
        ("From", format!("Scott <{address}>")),
        ("Subject", "Help".to_owned()),
        ("Message-ID", format!("<m{n}@example.org>")),
    ];
    fields.retain(|(name, _)| *name != place.0);
    let value =
        place.1.replace("{address}", &address).replace("{id}", &format!("m{n}")).replace("{}", payload);
    fields.push((place.0, value));
    let header = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>();
    format!("{}To: hermes@localhost\r\n\r\nHelp\r\n", header.concat())
}

/// The names of an answer's fields, from its bytes.
fn fields(sent: &str) -> Vec<String> {
    let (header, _) = sent.split_once("\r\n\r\n").unwrap();
    assert!(
        !header.replace("\r\n", "").contains(['\r', '\n', '\0', '\u{b}', '\u{c}', '\u{85}', '\u{2028}']),
        "{header:?}"
    );
    let begins = header.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    begins.map(|line| line.split_once(':').unwrap().0.to_ascii_lowercase()).collect()
}

#[tokio::test]
async fn no_field_of_a_mail_becomes_a_field_or_the_body_of_its_answer() {
    let world = World::with_scott().await;
    let attacks: Vec<_> = PLACES.iter().flat_map(|place| PAYLOADS.map(|payload| (*place, payload))).collect();
    assert!(attacks.len() >= 40);
    let mut answered = 0;
    for (n, (place, payload)) in attacks.into_iter().enumerate() {
        let owner = format!("owner{n}@example.org");
        world.sender(&owner, "amelia", &format!("owner{n}")).await;
        let before = world.outbox();
        world.post(attack(place, payload, n)).await;
        for sent in world.outbox().iter().filter(|sent| !before.contains(sent)) {
            let found = fields(sent);
            let named = format!("{} {payload:?}: {sent}", place.0);
            for name in &found {
                assert!(OURS.contains(&name.as_str()), "{name} of {named}");
                assert_eq!(found.iter().filter(|other| *other == name).count(), 1, "{name} of {named}");
            }
            assert!(sent.contains(&format!("\r\nTo: {owner}\r\n")), "{named}");
            let (_, body) = sent.split_once("\r\n\r\n").unwrap();
            assert!(!body.trim_start().starts_with("Evil"), "{named}");
            let read = hermes::mail::read(sent.as_bytes()).unwrap();
            assert_eq!(read.recipients.len(), 1, "{named}");
            assert!(!read.subject.contains(char::is_control), "{named}");
            answered += 1;
        }
    }
    assert!(answered >= 40, "{answered} of them were answered");
}
