//! Real mails from public test suites, where they are at hand.

use std::path::Path;

use common::domain::timestamp::Timestamp;
use hermes::mail::trace::Trace;
use hermes::mail::verdict::Evidence;

#[test]
fn no_mail_of_the_torture_set_stops_us() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/emails/torture");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is not here", folder.display());
        return;
    };
    let own = common::domain::ids::EmailAddress::parse("hermes@localhost").unwrap();
    let key = hermes::secrets::SecretKey::fleeting();
    let (mut seen, mut read) = (0, 0);
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|ending| ending != "eml") {
            continue;
        }
        seen += 1;
        let raw = std::fs::read(&path).unwrap();
        if let Ok(mail) = hermes::mail::read(&raw) {
            read += 1;
            let desk = hermes::mail::Desk { own: &own, places: &[], key: &key };
            let _ = hermes::mail::understand(
                &mail,
                desk,
                &Evidence::Vouched,
                Timestamp::default(),
                &mut Trace::default(),
            );
        }
    }
    assert!(seen > 100 && read * 10 > seen * 9, "{read} of {seen} could be read");
}
