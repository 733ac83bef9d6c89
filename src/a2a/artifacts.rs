//! Contents that are too large for a record: each in a file named by its checksum, with its place in the record instead.

use super::Result;
use crate::model::a2a::{Artifact, Part};
use crate::rules::refusal::Refusal;
use crate::tools::file;
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
    part.url = Some(format!("file://{}", encoded(&path)));
    part.media_type = part.media_type.take().or(kind.map(str::to_owned));
    Ok(())
}

/// The path as it stands in a URL.
fn encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            text.push((*byte).into());
        } else {
            // Writing to a string does not fail.
            write!(text, "%{byte:02X}").ok();
        }
    }
    text
}

/// The bytes that `text` is, in base64 (RFC 4648, both alphabets, with or without padding).
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    if text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut held) = (0u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held).to_le_bytes()[0]);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let raw = Part { raw: Some(encode(&bytes)), media_type: Some("image/png".into()), ..Part::default() };
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

    fn encode(bytes: &[u8]) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word =
                chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for at in 0..=chunk.len() {
                text.push(ALPHABET[(word >> (18 - 6 * at) & 63) as usize].into());
            }
            text.push_str(&"==="[..3 - chunk.len()]);
        }
        text
    }

    #[test]
    fn base64_is_read_as_its_standard_says() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg", "foob"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decode(text).unwrap(), bytes.as_bytes(), "{text}");
        }
        assert_eq!(decode("Z"), None);
        assert_eq!(decode("Zm 9"), None);
        for length in 0..50u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
        }
    }
}
