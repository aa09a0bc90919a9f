//! What comes along with a mail: files for the site, kept by their content, told to the agent.

use common::cloud::files::At;
use image::{DynamicImage, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::support::{World, base64, mail};

/// A mail of scott's with files.
fn with_files(id: &str, files: &[(&str, &[u8])]) -> String {
    let head = mail(id, "");
    let head = head.trim_end();
    let mut raw = format!(
        "{head}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nPut this up\r\n"
    );
    for (name, bytes) in files {
        raw += "--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n";
        raw = raw + "Content-Disposition: attachment; filename=\"" + name + "\"\r\n\r\n";
        for line in base64(bytes).as_bytes().chunks(76) {
            raw.push_str(std::str::from_utf8(line).unwrap());
            raw.push_str("\r\n");
        }
    }
    raw + "--b--\r\n"
}

/// A photo, with its orientation (turned to the right) and a place in its EXIF segment.
fn photo(width: u32, height: u32) -> Vec<u8> {
    let halves =
        RgbImage::from_fn(
            width,
            height,
            |x, _| if x < width / 2 { Rgb([250, 0, 0]) } else { Rgb([0, 0, 250]) },
        );
    let mut jpeg = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(halves).write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    tiff.extend(b"GPS-SECRET-PLACE");
    let mut segment = vec![0xff, 0xe1];
    segment.extend(u16::try_from(tiff.len() + 8).unwrap().to_be_bytes());
    segment.extend(b"Exif\0\0");
    segment.extend(tiff);
    [&jpeg[..2], &segment, &jpeg[2..]].concat()
}

async fn attachments(world: &World) -> Vec<Value> {
    let works = world.works("amelia#scott").await;
    assert_eq!(works.len(), 1, "{works:?}");
    works[0]["attachments"].as_array().unwrap().clone()
}

async fn bytes(world: &World, attachment: &Value) -> Vec<u8> {
    let key = At::object(attachment["key"].as_str().unwrap());
    world.cloud().files.get(&key).await.unwrap().unwrap().bytes.to_vec()
}

fn names(all: &[Value]) -> Vec<&str> {
    all.iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn s61_a_photo_is_made_upright_small_enough_and_silent_about_its_place_and_stored_once() {
    let world = World::with_scott().await;
    let photo = photo(4000, 40);
    world.accepted(with_files("1", &[("IMG 0001.JPG", &photo)])).await;
    let first = attachments(&world).await;
    assert_eq!(names(&first), ["IMG-0001.webp", "IMG-0001.jpg"]);
    for one in &first {
        assert_eq!((one["width"].as_u64(), one["height"].as_u64()), (Some(38), Some(3840)), "{one}");
        let bytes = bytes(&world, one).await;
        assert_eq!(one["sizeBytes"].as_u64(), Some(bytes.len() as u64));
        assert!(!bytes.windows(10).any(|window| window == b"GPS-SECRET"), "{one}");
        let picture = image::load_from_memory(&bytes).unwrap().into_rgb8();
        assert!(picture.get_pixel(19, 100).0[0] > 180 && picture.get_pixel(19, 3700).0[2] > 180, "upright");
    }
    world.accepted(with_files("2", &[("again.jpg", &photo)])).await;
    let second = attachments(&world).await;
    let keys = |all: &[Value]| all.iter().map(|one| one["key"].clone()).collect::<Vec<_>>();
    assert_eq!(keys(&first), keys(&second), "the same picture lies in the same place");
}

#[tokio::test]
async fn s62_a_pdf_is_stored_and_goes_along() {
    let world = World::with_scott().await;
    let pdf = b"%PDF-1.7\nmenu\n%%EOF\n";
    world.accepted(with_files("1", &[("Menu March.pdf", pdf)])).await;
    let all = attachments(&world).await;
    assert_eq!(names(&all), ["Menu-March.pdf"]);
    assert_eq!(
        (all[0]["mimeType"].as_str(), bytes(&world, &all[0]).await),
        (Some("application/pdf"), pdf.to_vec())
    );
}

#[tokio::test]
async fn programs_and_broken_pictures_are_left_out_and_the_rest_goes_along() {
    let world = World::with_scott().await;
    let broken = &photo(64, 64)[..200];
    let files: [(&str, &[u8]); 4] = [
        ("photo.jpg", b"\x7fELF\x02\x01\x01"),
        ("setup.exe", b"x"),
        ("broken.jpg", broken),
        ("prices.csv", b"a;b\n"),
    ];
    let answer = world.accepted(with_files("1", &files)).await;
    let works = world.works("amelia#scott").await;
    assert_eq!(names(works[0]["attachments"].as_array().unwrap()), ["prices.csv"]);
    let left_out = &works[0]["context"]["leftOut"];
    let told = left_out.as_array().unwrap().iter().map(|one| (one["name"].as_str(), one["reason"].as_str()));
    let expected = [("photo.jpg", "program"), ("setup.exe", "program"), ("broken.jpg", "unreadable")];
    assert!(told.eq(expected.map(|(name, reason)| (Some(name), Some(reason)))), "{left_out}");
    let record = world.mail(answer["mailId"].as_str().unwrap()).await;
    let trace = serde_json::to_string(&record.trace).unwrap();
    for part in
        ["photo.jpg: it is a program", "setup.exe: it is a program", "broken.jpg: the file cannot be read"]
    {
        assert!(trace.contains(part), "{trace}");
    }
}

/// What Outlook packs when it sends rich text: one attribute of the mail itself, then perhaps one of a file.
fn pack(with_file: bool) -> Vec<u8> {
    let attribute = |level: u8, held: &[u8]| {
        let length = u32::try_from(held.len()).unwrap().to_le_bytes();
        [&[level, 6, 0x90, 8, 0][..], &length, held, &[0, 0]].concat()
    };
    let file = if with_file { attribute(2, b"a photo") } else { Vec::new() };
    [&[0x78, 0x9f, 0x3e, 0x22, 1, 0][..], &attribute(1, b"\0\0\x01\0"), &file].concat()
}

#[tokio::test]
async fn files_that_outlook_packed_are_told_of_and_its_make_up_is_not() {
    let world = World::with_scott().await;
    for (id, kind, with_file) in [
        ("1", "application/ms-tnef", true),
        ("2", "application/octet-stream", true),
        ("3", "application/ms-tnef", false),
    ] {
        let raw =
            with_files(id, &[("winmail.dat", &pack(with_file))]).replace("application/octet-stream", kind);
        world.accepted(raw).await;
        let works = world.works("amelia#scott").await;
        assert_eq!(works[0]["attachments"].as_array().map_or(0, Vec::len), 0, "{kind}");
        let told = &works[0]["context"]["leftOut"];
        let expected = json!([{"name": "winmail.dat", "reason": "outlook-pack"}]);
        assert_eq!(*told == expected, with_file, "{kind}: {told}");
        assert_eq!(told.as_array().is_none_or(Vec::is_empty), !with_file, "{kind}: {told}");
    }
}

#[tokio::test]
async fn nothing_of_a_mail_that_becomes_no_work_is_kept_besides_its_bytes() {
    let world = World::empty("verify");
    world.accepted(with_files("1", &[("photo.jpg", &photo(64, 32))])).await;
    let folder = world.folder.path().join("objects/mail/attachments");
    assert!(!folder.exists() || std::fs::read_dir(folder).unwrap().next().is_none());
}
