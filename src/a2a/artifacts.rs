//! Contents that are too large for a record: each in a file named by its checksum, with its place in the record instead.

use super::Result;
use crate::model::a2a::{Artifact, Part};
use crate::rules::naming::file_url;
use crate::rules::refusal::Refusal;
use crate::tools::file;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;

/// What an artifact may take in a record, in bytes. Less than a record, which holds more than the artifact.
const IN_RECORD: usize = 48 << 10;
/// The least that is worth a file, in bytes.
const WORTH_A_FILE: usize = 1 << 10;

/// `artifact` with whatever is too large for a record in files in `dir`, which survive a power cut when this returns.
pub(super) fn store(dir: &Path, mut artifact: Artifact) -> Result<Artifact> {
    let size = |artifact: &Artifact| serde_json::to_vec(artifact).map(|json| json.len());
    while size(&artifact)? > IN_RECORD {
        let parts = artifact.parts.iter_mut();
        let Some(part) = parts.max_by_key(|part| weight(part)).filter(|part| weight(part) >= WORTH_A_FILE)
        else {
            // Too large by its names; whoever appends it refuses it.
            return Ok(artifact);
        };
        move_out(dir, part)?;
    }
    Ok(artifact)
}

/// What of `part` can be put into a file, in bytes.
fn weight(part: &Part) -> usize {
    let text = part.text.as_ref().or(part.raw.as_ref()).map(String::len);
    text.or_else(|| part.data.as_ref().map(|data| data.to_string().len())).unwrap_or(0)
}

fn move_out(dir: &Path, part: &mut Part) -> Result<()> {
    let (bytes, kind) = if let Some(text) = part.text.take() {
        (text.into_bytes(), Some("text/plain"))
    } else if let Some(raw) = part.raw.take() {
        let why = "raw is not base64".to_owned();
        (decode(&raw).ok_or(Refusal::BadParts { why })?, None)
    } else {
        (serde_json::to_vec(&part.data.take())?, Some("application/json"))
    };
    let mut name = String::with_capacity(64);
    for byte in Sha256::digest(&bytes) {
        // Writing to a string does not fail.
        write!(name, "{byte:02x}").ok();
    }
    let path = dir.join(name);
    if !file::is_there(&path)? {
        file::with_dir(&path, |path| file::replace(path, &bytes))?;
    }
    part.url = Some(file_url(&path));
    part.media_type = part.media_type.take().or(kind.map(str::to_owned));
    Ok(())
}

/// Base64 as RFC 4648 has it and as others write it: both alphabets, with or without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, lenient.with_decode_allow_trailing_bits(true)).decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::json;

    fn artifact(parts: &[Part]) -> Artifact {
        serde_json::from_value(json!({"artifactId": "a", "parts": parts})).unwrap()
    }

    #[test]
    fn what_is_small_stays_and_what_is_large_becomes_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let store_in = dir.path().join("some dir");
        let small = artifact(&[Part::text("x".repeat(40 << 10))]);
        assert_eq!(store(&store_in, small.clone()).unwrap(), small);
        let bytes: Vec<u8> = (0..60_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let raw = Part {
            raw: Some(BASE64_STANDARD.encode(&bytes)),
            media_type: Some("image/png".into()),
            ..Part::default()
        };
        let data = Part { data: Some(json!({"long": "y".repeat(70 << 10)})), ..Part::default() };
        let large = vec![Part::text("short"), Part::text("x".repeat(100 << 10)), raw, data];
        let stored = store(&store_in, artifact(&large)).unwrap();
        assert_eq!(stored.parts[0], large[0]);
        let read = |part: &Part| {
            let url = part.url.as_ref().unwrap().strip_prefix("file://").unwrap().replace("%20", " ");
            std::fs::read(url).unwrap()
        };
        assert_eq!(read(&stored.parts[1]), "x".repeat(100 << 10).as_bytes());
        assert_eq!(read(&stored.parts[2]), bytes);
        assert_eq!(stored.parts[2].media_type.as_deref(), Some("image/png"));
        assert!(read(&stored.parts[3]).starts_with(b"{\"long\":\"yyy"));
        assert!(stored.check().is_none());
        let bad = Part { raw: Some("!".repeat(70 << 10)), ..Part::default() };
        assert_eq!(store(&store_in, artifact(&[bad])).unwrap_err().code(), "bad_parts");
    }

    #[test]
    fn base64_is_read_as_its_standard_says() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm9vYg", b"foob"),
            ("Zm9vYmFy", b"foobar"),
            ("+/8=", b"\xfb\xff"),
            ("-_8", b"\xfb\xff"),
        ] {
            assert_eq!(decode(text).unwrap(), bytes, "{text}");
        }
        for text in ["Z", "Zm 9", "Zm9!"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
