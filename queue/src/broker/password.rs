//! Redis' password, from the file that holds it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest file, in bytes.
const MAX_BYTES: u64 = 4096;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file can't be read, or is no text.
    #[error("reading Redis' password from {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file is longer than any password.
    #[error("reading Redis' password from {0}: more than {MAX_BYTES} bytes")]
    TooLong(PathBuf),
}

/// The file's content, at most 4096 bytes, without the ends of lines that editors leave behind.
pub fn password(path: &Path) -> Result<String, PasswordError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    let bytes = read.map_err(|source| PasswordError::Read { path: path.to_owned(), source })?;
    if bytes as u64 > MAX_BYTES {
        return Err(PasswordError::TooLong(path.to_owned()));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_of_bounded_length() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "secret\r\n").unwrap();
        assert_eq!(password(&file).unwrap(), "secret");
        std::fs::write(&file, "x".repeat(5000)).unwrap();
        assert!(password(&file).unwrap_err().to_string().contains("more than 4096 bytes"));
        assert!(password(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
        let endless = password(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(endless.contains("more than 4096 bytes"), "{endless}");
    }
}
