//! What mail programs put before a subject, and what its author wrote.

/// Reply and forward marks of mail programs in many languages, without their colon.
const REPLY: &[&str] = &[
    "re",
    "aw",
    "antw",
    "antwort",
    "sv",
    "vs",
    "ref",
    "res",
    "r",
    "rif",
    "odp",
    "ynt",
    "vá",
    "atb",
    "ats",
    "απ",
    "на",
    "отв",
    "ответ",
    "回复",
    "回覆",
    "答复",
    "返信",
    "답장",
    "رد",
    "השב",
    "bls",
    "tr",
];
const FORWARD: &[&str] = &[
    "fw",
    "fwd",
    "wg",
    "wtr",
    "rv",
    "enc",
    "doorst",
    "pd",
    "ilt",
    "i",
    "vl",
    "vb",
    "továbbítás",
    "prw",
    "fs",
    "пересл",
    "转发",
    "轉寄",
    "転送",
    "전달",
    "إعادة توجيه",
    "הועבר",
];

/// Whether the subject was written for this mail or carried over from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// As its author wrote it.
    Not,
    /// Of the mail that is answered.
    Reply,
    /// Of a mail that is passed on.
    Forward,
}

/// What its marks say: the first counts.
pub fn carried(subject: &str) -> Carried {
    match mark(subject.trim()) {
        Some((Carried::Reply, _)) => Carried::Reply,
        Some((other, _)) => other,
        None => Carried::Not,
    }
}

/// The subject if it was written for this mail and says something.
pub fn written(subject: &str) -> Option<&str> {
    let said = subject.trim();
    (carried(said) == Carried::Not && !said.is_empty()).then_some(said)
}

/// The first mark and what follows it: `Re:`, `RE :`, `Re[2]:`, `AW(3):`.
fn mark(subject: &str) -> Option<(Carried, &str)> {
    let (before, after) = subject.split_once([':', '：'])?;
    let word = before.trim_end_matches(|c: char| c.is_ascii_digit() || "[]() ^".contains(c)).to_lowercase();
    if REPLY.contains(&word.as_str()) {
        Some((Carried::Reply, after))
    } else if FORWARD.contains(&word.as_str()) {
        Some((Carried::Forward, after))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_mail_programs_are_known() {
        for reply in ["Re: x", "RE : x", "AW: x", "Re[2]: x", "Antw: x", "SV: x", "回复：x", " re:x"] {
            assert_eq!(carried(reply), Carried::Reply, "{reply}");
        }
        for forward in ["Fwd: x", "WG: Re: x", "FW: x", "转发: x"] {
            assert_eq!(carried(forward), Carried::Forward, "{forward}");
        }
        for own in ["Opening hours", "Menu: add soup", "", "Regarding: x", "2: x"] {
            assert_eq!(carried(own), Carried::Not, "{own}");
        }
        assert_eq!(written(" stop "), Some("stop"));
        assert_eq!((written("Re: stop"), written(" ")), (None, None));
    }
}
