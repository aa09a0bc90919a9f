//! Conversations shaped like those of real mail programs: ten of them, each in six situations of its headers. Every reply
//! joins its conversation and no other, and only its new words are the instruction.

use std::fmt::Write as _;

use common::domain::ids::{CommandId, EmailAddress, ThreadId};
use hermes::mail::Desk;
use hermes::secrets::SecretKey;
use hermes::simulate::{Conversations, Simulation, understand};

/// How a program writes a reply: the kind of its body, and the body from new words and the lines it quotes.
struct Client {
    name: &'static str,
    html: Option<fn(&str, &str) -> String>,
    text: Option<fn(&str, &str) -> String>,
}

fn marked(quoted: &str) -> String {
    quoted.lines().map(|line| format!("> {line}\n")).collect::<Vec<_>>().concat()
}

fn breaks(quoted: &str) -> String {
    quoted.lines().map(|line| format!("<div>{line}</div>")).collect::<Vec<_>>().concat()
}

const CLIENTS: [Client; 10] = [
    Client {
        name: "gmail-web",
        html: Some(|new, quoted| {
            format!(
                "<div dir=\"ltr\">{new}</div><br><div class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">On Tue, Mar 3, 2026 at 10:00 AM Hermes &lt;<a href=\"mailto:hermes@localhost\">hermes@localhost</a>&gt; wrote:<br></div><blockquote class=\"gmail_quote\" style=\"margin:0px\">{}</blockquote></div>",
                breaks(quoted)
            )
        }),
        text: Some(|new, quoted| {
            format!(
                "{new}\n\nOn Tue, Mar 3, 2026 at 10:00 AM Hermes <hermes@localhost>\nwrote:\n\n{}",
                marked(quoted)
            )
        }),
    },
    Client {
        name: "gmail-phone-in-french",
        html: None,
        text: Some(|new, quoted| {
            format!(
                "{new}\n\nLe mar. 3 mars 2026 à 10:00, Hermes <hermes@localhost> a\nécrit :\n\n{}",
                marked(quoted)
            )
        }),
    },
    Client {
        name: "outlook-desktop",
        html: Some(|new, quoted| {
            format!(
                "<html><body lang=EN><div class=WordSection1><p class=MsoNormal>{new}<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt'><p class=MsoNormal><b>From:</b> Hermes &lt;hermes@localhost&gt; <br><b>Sent:</b> Tuesday, March 3, 2026 10:00 AM<br><b>To:</b> Scott &lt;scott@example.org&gt;<br><b>Subject:</b> Re: Hours<o:p></o:p></p></div></div>{}</div></body></html>",
                breaks(quoted)
            )
        }),
        text: None,
    },
    Client {
        name: "outlook-desktop-in-german",
        html: None,
        text: Some(|new, quoted| {
            format!(
                "{new}\n\nVon: Hermes <hermes@localhost> \nGesendet: Dienstag, 3. März 2026 10:00\nAn: Scott <scott@example.org>\nBetreff: Re: Hours\n\n{quoted}"
            )
        }),
    },
    Client {
        name: "outlook-web",
        html: Some(|new, quoted| {
            format!(
                "<html><body dir=\"ltr\"><div class=\"elementToProof\">{new}</div><div id=\"appendonsend\"></div><hr style=\"display:inline-block;width:98%\" tabindex=\"-1\"><div id=\"divRplyFwdMsg\" dir=\"ltr\"><font face=\"Calibri\"><b>From:</b> Hermes &lt;hermes@localhost&gt;<br><b>Sent:</b> Tuesday, March 3, 2026 10:00 AM<br><b>To:</b> Scott<br><b>Subject:</b> Re: Hours</font></div>{}</body></html>",
                breaks(quoted)
            )
        }),
        text: None,
    },
    Client {
        name: "outlook-phone",
        html: None,
        text: Some(|new, quoted| {
            format!(
                "{new}\n\nGet Outlook for iOS<https://aka.ms/o0ukef>\n________________________________\nFrom: Hermes <hermes@localhost>\nSent: Tuesday, March 3, 2026 10:00:00 AM\nTo: Scott <scott@example.org>\nSubject: Re: Hours\n\n{quoted}"
            )
        }),
    },
    Client {
        name: "apple-mail",
        html: None,
        text: Some(|new, quoted| {
            format!(
                "{new}\n\n> On 3 Mar 2026, at 10:00, Hermes <hermes@localhost> wrote:\n> \n{}",
                marked(quoted)
            )
        }),
    },
    Client {
        name: "iphone",
        html: None,
        text: Some(|new, quoted| {
            format!(
                "{new}\n\nSent from my iPhone\n\n> On 3 Mar 2026, at 10:00, Hermes <hermes@localhost> wrote:\n> \n{}",
                marked(quoted)
            )
        }),
    },
    Client {
        name: "yahoo",
        html: Some(|new, quoted| {
            format!(
                "<html><body><div class=\"ydp1-yahoo-style-wrap\"><div dir=\"ltr\">{new}</div></div><div id=\"yahoo_quoted_1\" class=\"yahoo_quoted\"><div>On Tuesday, March 3, 2026 at 10:00:00 AM GMT+1, Hermes &lt;hermes@localhost&gt; wrote:</div><div><br></div>{}</div></body></html>",
                breaks(quoted)
            )
        }),
        text: None,
    },
    Client {
        name: "proton-and-thunderbird",
        html: Some(|new, quoted| {
            format!(
                "<div style=\"font-family: Arial\">{new}</div><div class=\"protonmail_quote\">On Tuesday, March 3rd, 2026 at 10:00 AM, Hermes &lt;hermes@localhost&gt; wrote:<br><blockquote class=\"protonmail_quote\" type=\"cite\">{}</blockquote></div>",
                breaks(quoted)
            )
        }),
        text: Some(|new, quoted| {
            format!("{new}\n\nAm 03.03.26 um 10:00 schrieb Hermes:\n{}\n\n-- \nScott\nBakery", marked(quoted))
        }),
    },
];

/// What of the headers and of our mail survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    AllHeaders,
    OnlyInReplyTo,
    OnlyReferences,
    /// The relay gave our mail another id: only the owner's own first mail is known.
    OtherIdOfOurs,
    OnlyReplyAddress,
    OnlyConversationLine,
}

const SITUATIONS: [Situation; 6] = [
    Situation::AllHeaders,
    Situation::OnlyInReplyTo,
    Situation::OnlyReferences,
    Situation::OtherIdOfOurs,
    Situation::OnlyReplyAddress,
    Situation::OnlyConversationLine,
];

struct Conversation<'a> {
    key: &'a SecretKey,
    own: &'a EmailAddress,
    name: String,
    thread: Option<ThreadId>,
}

impl Conversation<'_> {
    fn first(&self) -> String {
        let name = &self.name;
        format!(
            "From: Scott <scott@example.org>\r\nTo: hermes@localhost\r\nSubject: Hours\r\nMessage-ID: <first-{name}@example.org>\r\n\r\nOpen at 8 in {name}.\r\n"
        )
    }

    /// The owner's reply to our answer to their mail `round`.
    fn reply(&self, client: &Client, situation: Situation, round: usize, new: &str) -> String {
        let (name, thread) = (&self.name, self.thread.as_ref().unwrap());
        let command = CommandId::parse(&format!("c{round}")).unwrap();
        let (first, ours) = (
            format!("<first-{name}@example.org>"),
            format!("<{}>", self.key.message_id(thread, &command, "localhost")),
        );
        let relayed = format!("<0100{round}-{name}@email.amazonses.com>");
        let address = self.key.reply_address(self.own, thread).unwrap();
        let (to, fields) = match situation {
            Situation::AllHeaders => {
                (address.to_string(), format!("In-Reply-To: {ours}\r\nReferences: {first}\r\n {ours}\r\n"))
            }
            Situation::OnlyInReplyTo => (self.own.to_string(), format!("In-Reply-To: {ours}\r\n")),
            Situation::OnlyReferences => (self.own.to_string(), format!("References: {first} {ours}\r\n")),
            Situation::OtherIdOfOurs => {
                (self.own.to_string(), format!("In-Reply-To: {relayed}\r\nReferences: {first} {relayed}\r\n"))
            }
            Situation::OnlyReplyAddress => (address.to_string(), String::new()),
            Situation::OnlyConversationLine => (self.own.to_string(), String::new()),
        };
        let footer = if situation == Situation::OnlyConversationLine {
            format!("Conversation ID: {thread}\n")
        } else {
            String::new()
        };
        let quoted = format!("Your site has changed.\nDelete the old page now, you wrote.\n{footer}");
        let mut raw = format!(
            "From: Scott <scott@example.org>\r\nTo: {to}\r\nSubject: Re: Hours\r\nMessage-ID: <r{round}-{name}@example.org>\r\n{fields}MIME-Version: 1.0\r\n"
        );
        body(&mut raw, client, new, &quoted);
        raw
    }
}

fn body(raw: &mut String, client: &Client, new: &str, quoted: &str) {
    let part =
        |kind: &str, body: String| format!("Content-Type: text/{kind}; charset=utf-8\r\n\r\n{body}\r\n");
    let text = client.text.map(|write| part("plain", write(new, quoted)));
    let html = client.html.map(|write| part("html", write(new, quoted)));
    let _ = match (text, html) {
        (Some(text), Some(html)) => write!(
            raw,
            "Content-Type: multipart/alternative; boundary=alt\r\n\r\n--alt\r\n{text}--alt\r\n{html}--alt--\r\n"
        ),
        (Some(one), None) | (None, Some(one)) => write!(raw, "{one}"),
        (None, None) => unreachable!("every program writes something"),
    };
}

#[test]
fn replies_of_ten_mail_programs_join_their_conversation_and_say_only_what_is_new() {
    let (key, own) = (SecretKey::fleeting(), EmailAddress::parse("hermes@localhost").unwrap());
    let desk = Desk { own: &own, places: &[], key: &key };
    let mut memory = Conversations::default();
    let mut say = |raw: String| -> Simulation { memory.decide(understand(raw.as_bytes(), desk)) };
    let mut seen = Vec::new();
    for client in &CLIENTS {
        for situation in SITUATIONS {
            let name = format!("{}-{situation:?}", client.name).to_lowercase();
            let mut conversation = Conversation { key: &key, own: &own, name, thread: None };
            let first = say(conversation.first());
            let thread = first.thread.id.clone().unwrap();
            assert!(!first.thread.known && !seen.contains(&thread), "{}", conversation.name);
            conversation.thread = Some(ThreadId::parse(&thread).unwrap());
            for (round, new) in
                ["Now the phone number, please.", "And the photo: make it larger."].into_iter().enumerate()
            {
                let raw = conversation.reply(client, situation, round, new);
                let reply = say(raw.clone());
                assert_eq!(
                    (reply.thread.id.as_ref(), reply.instruction.as_str()),
                    (Some(&thread), new),
                    "{}\n{raw}",
                    conversation.name
                );
                assert!(reply.removed.contains("Delete the old page"), "{}", conversation.name);
            }
            seen.push(thread);
        }
    }
    assert_eq!(seen.len(), 60);
}

#[test]
fn every_command_is_heard_from_every_mail_program() {
    let (key, own) = (SecretKey::fleeting(), EmailAddress::parse("hermes@localhost").unwrap());
    let desk = Desk { own: &own, places: &[], key: &key };
    for client in &CLIENTS {
        for (word, command) in
            [("Publish", "publish"), ("rückgängig machen", "undo"), ("Arrêter !", "stop"), ("ayuda", "help")]
        {
            let thread = Some(ThreadId::parse("abcdef").unwrap());
            let conversation = Conversation { key: &key, own: &own, name: "x".into(), thread };
            let raw = conversation.reply(client, Situation::AllHeaders, 0, word);
            let said = Conversations::default().decide(understand(raw.as_bytes(), desk));
            assert_eq!(
                said.command.map(hermes::mail::MailCommand::as_str),
                Some(command),
                "{}: {word}\n{raw}",
                client.name
            );
        }
    }
}
