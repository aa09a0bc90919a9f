//! Pictures for the web out of what people send: upright, in the colours of sRGB, without the place they were taken at and
//! whatever else cameras write, no side longer than 3840 pixels, as WebP and as a fallback for older browsers. Pure, and slow: not for async threads.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, RgbaImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// The longest side of what is kept.
pub const MAX_SIDE: u32 = 3840;
/// The most pixels that are decoded: a camera of 64 megapixels.
const MAX_PIXELS: u64 = 64_000_000;
/// What decoding may allocate.
const MAX_ALLOC_BYTES: u64 = 320 * 1024 * 1024;
/// Of 100, for both formats.
const QUALITY: u8 = 85;

/// One file of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// `webp`, `jpg` or `png`.
    pub ending: &'static str,
    /// The media type.
    pub mime_type: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Why a picture cannot be made anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Its pixels would fill the memory.
    #[error("the picture has {0} x {1} pixels, which is too many")]
    TooManyPixels(u32, u32),
    /// It cannot be decoded.
    #[error("the picture cannot be read")]
    Broken,
    /// It cannot be written.
    #[error("the picture cannot be written anew")]
    Unwritable,
}

/// The renditions of a picture: WebP first, then JPEG, or PNG where the picture came as one or is see-through.
pub fn renditions(bytes: &[u8]) -> Result<Vec<Rendition>, Unusable> {
    let Decoded { picture, format, profile } = decode(bytes)?;
    let picture = fit(picture);
    let see_through = picture.color().has_alpha() && is_see_through(&picture);
    let picture = if see_through {
        DynamicImage::ImageRgba8(picture.into_rgba8())
    } else {
        DynamicImage::ImageRgb8(picture.into_rgb8())
    };
    // A profile that cannot be read, or is of another kind of colours, is none.
    let picture = profile.and_then(|profile| in_srgb(&picture, &profile)).unwrap_or(picture);
    let fallback = if see_through || format == ImageFormat::Png { png(&picture)? } else { jpeg(&picture)? };
    Ok(vec![webp(&picture)?, fallback])
}

/// A picture as it came.
struct Decoded {
    picture: DynamicImage,
    format: ImageFormat,
    /// What its numbers mean as colours (ICC); those of sRGB where it says nothing.
    profile: Option<Vec<u8>>,
}

/// Decodes within bounds and turns it upright (EXIF orientation).
fn decode(bytes: &[u8]) -> Result<Decoded, Unusable> {
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|_| Unusable::Broken)?;
    let format = reader.format().ok_or(Unusable::Broken)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| Unusable::Broken)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Unusable::TooManyPixels(width, height));
    }
    // An orientation that cannot be read is none.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|_| Unusable::Broken)?;
    picture.apply_orientation(orientation);
    Ok(Decoded { picture, format, profile })
}

/// The same colours by the numbers of sRGB, which is what is shown where a picture brings no profile along: ours do not.
fn in_srgb(picture: &DynamicImage, profile: &[u8]) -> Option<DynamicImage> {
    let profile = ColorProfile::new_from_slice(profile).ok()?;
    if profile.color_space != DataColorSpace::Rgb {
        return None;
    }
    let layout = if picture.color().has_alpha() { Layout::Rgba } else { Layout::Rgb };
    let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
    let transform = profile.create_transform_8bit(layout, &srgb, layout, options).ok()?;
    let mut bytes = vec![0; picture.as_bytes().len()];
    transform.transform(picture.as_bytes(), &mut bytes).ok()?;
    let (width, height) = (picture.width(), picture.height());
    if picture.color().has_alpha() {
        return RgbaImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgba8);
    }
    RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8)
}

fn fit(picture: DynamicImage) -> DynamicImage {
    if picture.width().max(picture.height()) <= MAX_SIDE {
        return picture;
    }
    picture.resize(MAX_SIDE, MAX_SIDE, FilterType::CatmullRom)
}

fn is_see_through(picture: &DynamicImage) -> bool {
    picture.to_rgba8().pixels().any(|pixel| pixel.0[3] < u8::MAX)
}

fn webp(picture: &DynamicImage) -> Result<Rendition, Unusable> {
    let encoder = webp::Encoder::from_image(picture).map_err(|_| Unusable::Unwritable)?;
    let bytes = encoder.encode_simple(false, f32::from(QUALITY)).map_err(|_| Unusable::Unwritable)?;
    Ok(rendition("webp", "image/webp", picture, bytes.to_vec()))
}

fn jpeg(picture: &DynamicImage) -> Result<Rendition, Unusable> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    picture.write_with_encoder(encoder).map_err(|_| Unusable::Unwritable)?;
    Ok(rendition("jpg", "image/jpeg", picture, bytes))
}

fn png(picture: &DynamicImage) -> Result<Rendition, Unusable> {
    let mut bytes = Vec::new();
    picture.write_with_encoder(PngEncoder::new(&mut bytes)).map_err(|_| Unusable::Unwritable)?;
    Ok(rendition("png", "image/png", picture, bytes))
}

fn rendition(
    ending: &'static str,
    mime_type: &'static str,
    picture: &DynamicImage,
    bytes: Vec<u8>,
) -> Rendition {
    Rendition { ending, mime_type, width: picture.width(), height: picture.height(), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GenericImageView, ImageEncoder, Rgb, Rgba};

    /// Left half red, right half blue.
    fn two_halves(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(
            width,
            height,
            |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) },
        )
    }

    fn jpeg_of(picture: &RgbImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(picture).unwrap();
        bytes
    }

    /// With an EXIF segment: the orientation, and a GPS directory that names a place.
    fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let mut tiff = b"MM\0*\0\0\0\x08\0\x02".to_vec();
        tiff.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]);
        tiff.extend([0x88, 0x25, 0, 4, 0, 0, 0, 1, 0, 0, 0, 38, 0, 0, 0, 0]);
        tiff.extend([0, 1, 0, 1, 0, 2, 0, 0, 0, 2, b'N', 0, 0, 0, 0, 0, 0, 0]);
        tiff.extend(b"GPS-SECRET-PLACE");
        let mut segment = vec![0xff, 0xe1];
        segment.extend(u16::try_from(tiff.len() + 8).unwrap().to_be_bytes());
        segment.extend(b"Exif\0\0");
        segment.extend(tiff);
        [&jpeg[..2], &segment, &jpeg[2..]].concat()
    }

    fn open(rendition: &Rendition) -> DynamicImage {
        image::load_from_memory(&rendition.bytes).unwrap()
    }

    #[test]
    fn a_photo_is_upright_and_says_nothing_of_where_it_was_taken() {
        let photo = with_exif(&jpeg_of(&two_halves(64, 32)), 6);
        assert!(photo.windows(10).any(|window| window == b"GPS-SECRET"), "the photo has it");
        let all = renditions(&photo).unwrap();
        assert_eq!(all.iter().map(|one| one.ending).collect::<Vec<_>>(), ["webp", "jpg"]);
        for one in &all {
            assert_eq!((one.width, one.height), (32, 64), "{}", one.ending);
            let picture = open(one);
            let (top, bottom) = (picture.get_pixel(16, 8), picture.get_pixel(16, 56));
            assert!(top[0] > 200 && bottom[2] > 200, "{}: the left side is on top now", one.ending);
            for word in [&b"GPS-SECRET"[..], b"Exif", b"EXIF"] {
                assert!(!one.bytes.windows(word.len()).any(|window| window == word), "{}", one.ending);
            }
        }
        assert_eq!(renditions(&photo).unwrap(), all, "the same picture is the same bytes");
    }

    /// The middle of a picture of one colour that came with this profile, in each rendition.
    fn shown(colour: [u8; 3], profile: Vec<u8>) -> Vec<[u8; 3]> {
        let picture = RgbImage::from_pixel(16, 16, Rgb(colour));
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 100);
        encoder.set_icc_profile(profile).unwrap();
        encoder.encode_image(&picture).unwrap();
        let middle = |one: &Rendition| open(one).to_rgb8().get_pixel(8, 8).0;
        renditions(&bytes).unwrap().iter().map(middle).collect()
    }

    fn is_near(one: [u8; 3], other: [u8; 3]) -> bool {
        one.iter().zip(other).all(|(one, other)| one.abs_diff(other) <= 4)
    }

    #[test]
    fn colours_of_a_wider_space_stay_what_they_are() {
        let wide = ColorProfile::new_display_p3().encode().unwrap();
        for colour in shown([200, 100, 60], wide) {
            assert!(is_near(colour, [215, 93, 47]), "{colour:?}");
        }
        for profile in [ColorProfile::new_srgb().encode().unwrap(), b"no profile".to_vec()] {
            for colour in shown([200, 100, 60], profile) {
                assert!(is_near(colour, [200, 100, 60]), "{colour:?}");
            }
        }
    }

    #[test]
    fn no_side_is_longer_than_3840() {
        let all = renditions(&jpeg_of(&two_halves(4000, 20))).unwrap();
        assert!(all.iter().all(|one| (one.width, one.height) == (3840, 19)), "{:?}", all[0].height);
    }

    #[test]
    fn drawings_stay_png_and_keep_what_is_see_through() {
        let clear = RgbaImage::from_fn(8, 8, |x, _| Rgba([0, 200, 0, if x < 4 { 0 } else { 255 }]));
        let mut bytes = Vec::new();
        DynamicImage::ImageRgba8(clear).write_with_encoder(PngEncoder::new(&mut bytes)).unwrap();
        let all = renditions(&bytes).unwrap();
        assert_eq!(all.iter().map(|one| one.ending).collect::<Vec<_>>(), ["webp", "png"]);
        assert!(all.iter().all(|one| open(one).get_pixel(1, 1)[3] == 0));
    }

    #[test]
    fn a_picture_that_would_fill_the_memory_is_not_decoded() {
        // A PNG that states 60,000 x 60,000 pixels and has none.
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend(60_000u32.to_be_bytes());
        png.extend(60_000u32.to_be_bytes());
        png.extend([8, 2, 0, 0, 0]);
        let mut check = 0xffff_ffffu32;
        for byte in &png[12..29] {
            check ^= u32::from(*byte);
            for _ in 0..8 {
                check = if check & 1 == 1 { (check >> 1) ^ 0xedb8_8320 } else { check >> 1 };
            }
        }
        png.extend((!check).to_be_bytes());
        png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82");
        assert!(matches!(renditions(&png), Err(Unusable::TooManyPixels(60_000, 60_000) | Unusable::Broken)));
        assert_eq!(renditions(b"no picture"), Err(Unusable::Broken));
    }
}
