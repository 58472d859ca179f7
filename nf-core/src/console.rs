//! What the command lines have in common: files that may be standard input, and standard output.

use std::io::{ErrorKind, Write};
use std::path::Path;

/// The text of a file, or of standard input for `-`. An error names the file.
pub fn read(path: &Path) -> Result<String, String> {
    let text = match path == Path::new("-") {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    text.map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes to standard output; a reader that has gone away is no failure.
pub fn print(text: &str) -> Result<(), String> {
    write(&mut std::io::stdout().lock(), text)
}

fn write(out: &mut impl Write, text: &str) -> Result<(), String> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Takes nothing, for that reason.
    struct Closed(ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is_one() {
        assert_eq!(write(&mut Closed(ErrorKind::BrokenPipe), "x"), Ok(()));
        let error = write(&mut Closed(ErrorKind::StorageFull), "x").unwrap_err();
        assert!(error.starts_with("standard output: "), "{error}");
        let mut kept = Vec::new();
        assert_eq!(write(&mut kept, "text"), Ok(()));
        assert_eq!(kept, b"text");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = read(Path::new("/nowhere/at.json")).unwrap_err();
        assert!(error.starts_with("/nowhere/at.json: "), "{error}");
    }
}
