//! The subject of a reply.

/// What mail programs put before the subject of a reply, in the languages we have met.
const PREFIXES: [&str; 12] =
    ["re", "aw", "antw", "sv", "vs", "odp", "rif", "res", "rv", "réf", "ynt", "回复"];

/// `Re: ` once, whatever stood there (RFC 5322, section 3.6.5); `fallback` for nothing.
pub(super) fn replied(subject: &str, fallback: &str) -> String {
    let mut subject = subject.trim();
    while let Some(rest) = without_prefix(subject) {
        subject = rest.trim_start();
    }
    format!("Re: {}", if subject.is_empty() { fallback } else { subject })
}

fn without_prefix(subject: &str) -> Option<&str> {
    let (prefix, rest) = subject.split_once(':')?;
    PREFIXES.contains(&prefix.trim().to_lowercase().as_str()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_gets_re_once() {
        for subject in ["Hours", " RE: Hours", "AW: Re: Hours", "Re:Hours", "Re: re: SV: Hours"] {
            assert_eq!(replied(subject, "x"), "Re: Hours", "{subject}");
        }
        assert_eq!(replied("Fwd: Hours", "x"), "Re: Fwd: Hours");
        assert_eq!(replied("Resumé: new", "x"), "Re: Resumé: new");
        assert_eq!(
            (replied("", "your request"), replied("Re: ", "y")),
            ("Re: your request".into(), "Re: y".into())
        );
    }
}
