//! What is inside a large package, as it was read when the package was published: to read it again takes long.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Contents, Place, StoredFile, unpacked};
use crate::{error::Result, plugins::queries::KeptContents};

/// Packages that unpack to at most so many bytes are read again by the first who looks at them.
const SMALL: u64 = 8 * 1024 * 1024;
/// The most bytes that one byte of gzip stands for.
const MAX_RATIO: u64 = 1032;

/// A file, and where its text is.
#[derive(Serialize, Deserialize)]
struct KeptFile {
    path: String,
    size: u64,
    executable: bool,
    hash: String,
    place: KeptPlace,
}

/// A [`Place`]; the first two among the compressed texts.
#[derive(Serialize, Deserialize)]
enum KeptPlace {
    Here(usize),
    Packed(usize),
    Package(usize),
}

/// Whether a package of so many bytes may be one whose contents were kept.
pub(super) fn may_be_kept(compressed: i64) -> bool {
    u64::try_from(compressed).is_ok_and(|bytes| bytes.saturating_mul(MAX_RATIO) > SMALL)
}

/// The contents of a package to be kept, if it is large.
///
/// # Errors
/// Never: memory cannot fail to be written.
pub(super) fn keep(contents: &Contents, unpacked_size: u64) -> Result<Option<KeptContents>> {
    if unpacked_size <= SMALL {
        return Ok(None);
    }
    let (mut files, mut texts) = (Vec::with_capacity(contents.files.len()), Vec::new());
    for file in &contents.files {
        let place = match (&file.place, &file.text) {
            (Place::Here, text) => {
                texts.push(zstd::bulk::compress(text.as_deref().unwrap_or_default().as_bytes(), 1)?);
                KeptPlace::Here(texts.len() - 1)
            }
            (Place::Packed(packed), _) => {
                texts.push(packed.to_vec());
                KeptPlace::Packed(texts.len() - 1)
            }
            (Place::Package(group), _) => KeptPlace::Package(*group),
        };
        let StoredFile { path, size, executable, hash, .. } = file.clone();
        files.push(KeptFile { path, size, executable, hash, place });
    }
    let files = serde_json::to_vec(&files).map_err(anyhow::Error::from)?;
    Ok(Some(KeptContents { files: zstd::encode_all(files.as_slice(), 1)?, texts }))
}

/// Contents that were kept.
///
/// # Errors
/// If they are not what [`keep`] made.
pub(super) fn open(kept: KeptContents) -> Result<Contents> {
    let files: Vec<KeptFile> =
        serde_json::from_slice(&zstd::decode_all(kept.files.as_slice())?).map_err(anyhow::Error::from)?;
    let text = |i: usize| kept.texts.get(i).map(Vec::as_slice).unwrap_or_default();
    let open = |file: KeptFile| {
        let KeptFile { path, size, executable, hash, place } = file;
        let (text, place) = match place {
            KeptPlace::Here(i) => (Some(unpacked(text(i))?), Place::Here),
            KeptPlace::Packed(i) => (None, Place::Packed(Arc::from(text(i)))),
            KeptPlace::Package(group) => (None, Place::Package(group)),
        };
        Ok(StoredFile { path, size, executable, hash, text, place })
    };
    Ok(Contents { files: files.into_iter().map(open).collect::<Result<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_read() {
        let file = |path: &str, text: Option<&str>, place: Place| StoredFile {
            path: path.to_owned(),
            size: 7,
            executable: path.ends_with(".sh"),
            hash: "0".repeat(64),
            text: text.map(Into::into),
            place,
        };
        let packed = zstd::bulk::compress("文本 packed".as_bytes(), 1).expect("compressed");
        let contents = Contents {
            files: vec![
                file("a.sh", Some("echo 你好"), Place::Here),
                file("b", Some(""), Place::Here),
                file("c", None, Place::Packed(packed.into())),
                file("d", None, Place::Package(3)),
            ],
        };
        assert!(keep(&contents, SMALL).expect("kept").is_none(), "small packages are read again");
        let kept = keep(&contents, SMALL + 1).expect("kept").expect("a large package");
        let opened = open(kept).expect("opened");
        assert_eq!(opened.files.len(), contents.files.len());
        for (before, after) in contents.files.iter().zip(&opened.files) {
            let of = |file: &StoredFile| (file.path.clone(), file.size, file.executable, file.hash.clone());
            assert_eq!((of(before), &before.text), (of(after), &after.text));
            match (&before.place, &after.place) {
                (Place::Here, Place::Here) => {}
                (Place::Packed(one), Place::Packed(other)) => assert_eq!(one, other),
                (Place::Package(one), Place::Package(other)) => assert_eq!(one, other),
                _ => panic!("{} is elsewhere", before.path),
            }
        }
        assert!(may_be_kept(9_000) && !may_be_kept(8_000));
    }
}
