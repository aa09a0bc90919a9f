//! What Outlook packs a mail's make-up and its files in when it sends rich text (`winmail.dat`; Transport Neutral Encapsulation
//! Format, [MS-OXTNEF]). Nothing is unpacked: only whether there may be files in it is seen. Pure.

/// The first bytes of one ([MS-OXTNEF] 2.1.3.1).
const SIGNATURE: [u8; 4] = [0x78, 0x9f, 0x3e, 0x22];
/// The key behind them.
const KEY_BYTES: usize = 2;
/// The level of an attribute that belongs to a file; those of the mail itself have another.
const OF_FILE: u8 = 2;
/// Level, id and length before what an attribute holds; a sum behind it.
const HEAD_BYTES: usize = 9;
const SUM_BYTES: usize = 2;

/// Whether this media type, in lower case, is one of its names.
pub(super) fn is_type(mime_type: &str) -> bool {
    matches!(mime_type, "application/ms-tnef" | "application/vnd.ms-tnef")
}

/// Whether these bytes begin as one does, whatever they are called.
pub(super) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(&SIGNATURE)
}

/// Whether there are files in it; of what cannot be read that is not known.
pub(super) fn may_hold_files(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(&SIGNATURE).and_then(|rest| rest.get(KEY_BYTES..)) else {
        return true;
    };
    while let Some(level) = rest.first() {
        match behind(rest) {
            Some(next) if *level != OF_FILE => rest = next,
            Some(_) | None => return true,
        }
    }
    false
}

/// What follows the first attribute.
fn behind(attributes: &[u8]) -> Option<&[u8]> {
    let length = attributes.get(HEAD_BYTES - 4..HEAD_BYTES)?;
    let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
    attributes.get(HEAD_BYTES.checked_add(length)?.checked_add(SUM_BYTES)?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(attributes: &[(u8, &[u8])]) -> Vec<u8> {
        let mut all = [&SIGNATURE[..], &[1, 0]].concat();
        for (level, held) in attributes {
            all.push(*level);
            all.extend([6, 0x90, 8, 0]);
            all.extend(u32::try_from(held.len()).unwrap().to_le_bytes());
            all.extend(*held);
            all.extend([0, 0]);
        }
        all
    }

    #[test]
    fn files_are_told_from_make_up() {
        assert!(!may_hold_files(&pack(&[])));
        assert!(!may_hold_files(&pack(&[(1, b"\0\0\x01\0"), (1, b"")])));
        assert!(may_hold_files(&pack(&[(1, b"\0\0\x01\0"), (2, b"photo")])));
    }

    #[test]
    fn of_what_cannot_be_read_it_is_not_known() {
        let whole = pack(&[(1, b"\0\0\x01\0"), (1, b"make-up")]);
        for end in [0, 3, 5, 7, 15, whole.len() - 1] {
            assert!(may_hold_files(&whole[..end]), "{end}");
        }
        let mut long = whole;
        long[11..15].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(may_hold_files(&long));
    }
}
