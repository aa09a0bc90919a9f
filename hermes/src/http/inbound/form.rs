//! Form fields out of a body that was read whole, byte for byte: a mail in a field need not be UTF-8. Only the fields that
//! are asked for are taken out of it, one copy of each.

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use multer::Field;
use percent_encoding::percent_decode;

use super::super::problem::Problem;

/// The most fields that are looked at.
const MAX_FIELDS: usize = 200;
/// The reader of multipart forms gets so much at a time, since it copies what it is given.
const PIECE_BYTES: usize = 64 * 1024;

/// Gives each field with one of these names to `take`.
pub(super) async fn fields(
    headers: &HeaderMap,
    body: &Bytes,
    names: &[&str],
    mut take: impl FnMut(&str, Vec<u8>),
) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Ok(boundary) = multer::parse_boundary(kind) {
        return multipart(boundary, body.clone(), names, take).await;
    }
    if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return Err(Problem::bad_request("form fields are expected"));
    }
    for pair in body.split(|byte| *byte == b'&').take(MAX_FIELDS) {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let name = String::from_utf8_lossy(&decoded(&pair[..at])).into_owned();
        if names.contains(&name.as_str()) {
            take(&name, decoded(pair.get(at + 1..).unwrap_or_default()));
        }
    }
    Ok(())
}

/// Of `application/x-www-form-urlencoded` (WHATWG URL, section 5.1).
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for (at, word) in text.split(|byte| *byte == b'+').enumerate() {
        if at > 0 {
            bytes.push(b' ');
        }
        bytes.extend(percent_decode(word));
    }
    bytes
}

async fn multipart(
    boundary: String,
    body: Bytes,
    names: &[&str],
    mut take: impl FnMut(&str, Vec<u8>),
) -> Result<(), Problem> {
    let mut form = multer::Multipart::new(futures_util::stream::iter(pieces(body)), boundary);
    for _ in 0..MAX_FIELDS {
        let Some(field) = form.next_field().await.map_err(broken)? else { return Ok(()) };
        let name = field.name().unwrap_or_default().to_owned();
        if names.contains(&name.as_str()) {
            take(&name, value(field).await?);
        }
    }
    Err(Problem::bad_request("there are too many form fields"))
}

fn pieces(mut body: Bytes) -> impl Iterator<Item = std::io::Result<Bytes>> {
    std::iter::from_fn(move || (!body.is_empty()).then(|| Ok(body.split_to(body.len().min(PIECE_BYTES)))))
}

async fn value(mut field: Field<'_>) -> Result<Vec<u8>, Problem> {
    let mut value = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        value.extend_from_slice(&piece);
    }
    Ok(value)
}

fn broken(_: multer::Error) -> Problem {
    Problem::bad_request("the form fields cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fields_are_the_same_in_either_kind_of_form_and_others_are_left_out() {
        let mail = "a+b &=%\r\n".repeat(30_000);
        let encoded = percent_encoding::utf8_percent_encode(&mail, percent_encoding::NON_ALPHANUMERIC);
        let plain = format!("x=1&mail={encoded}&token=one+two");
        let part = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let parts = [part("x", "1"), part("mail", &mail), part("token", "one two"), "--b--\r\n".into()];
        for (kind, body) in [
            ("application/x-www-form-urlencoded", plain),
            ("multipart/form-data; boundary=b", parts.concat()),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
            let mut found = Vec::new();
            let take = |name: &str, value: Vec<u8>| found.push((name.to_owned(), value));
            fields(&headers, &body.into(), &["mail", "token"], take).await.unwrap();
            let wanted = [("mail", mail.as_str()), ("token", "one two")];
            assert_eq!(
                found,
                wanted.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())),
                "{kind}"
            );
        }
    }
}
