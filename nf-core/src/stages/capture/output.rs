//! Where a capture goes: a file, a row of files, or a named pipe.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::config::CaptureConfig;

/// Only its owner may read what was captured.
const MODE: u32 = 0o600;

/// Bytes that a pipe shall hold, so that a reader may pause a little.
const PIPE_BYTES: usize = 1 << 20;

/// An open place for a capture.
#[derive(Debug)]
pub(super) enum Output {
    /// A file, or one of a row of files.
    Files(Files),
    /// A named pipe.
    Pipe(Pipe),
}

/// How much of what was to be written is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// So many bytes; the rest later.
    Some(usize),
    /// The reader of the pipe is gone.
    ReaderGone,
}

impl Output {
    /// Opens what the settings name; they name something.
    ///
    /// # Errors
    /// One sentence that says what is wrong with which path.
    pub fn open(config: &CaptureConfig) -> Result<Output, String> {
        let Some(target) = config.target() else {
            return Err("it does not say where the capture goes: \"file\" or \"pipe\"".into());
        };
        if config.pipe.is_some() || is_pipe(target) {
            return Pipe::prepare(target).map(Output::Pipe);
        }
        Files::open(target, config.max_file_bytes, config.files).map(Output::Files)
    }

    /// Whether there is somebody to write for.
    pub fn is_open(&self) -> bool {
        match self {
            Output::Files(_) => true,
            Output::Pipe(pipe) => pipe.end.is_some(),
        }
    }

    /// The path written to now.
    pub fn path(&self) -> &Path {
        match self {
            Output::Files(files) => &files.current_path,
            Output::Pipe(pipe) => &pipe.path,
        }
    }

    /// Writes, as much as goes without waiting.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Written> {
        match self {
            Output::Files(files) => {
                files.current.write_all(bytes)?;
                files.bytes += bytes.len() as u64;
                Ok(Written::Some(bytes.len()))
            }
            Output::Pipe(pipe) => pipe.write(bytes),
        }
    }
}

fn is_pipe(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_fifo())
}

/// Says what an error of the system means for somebody who wants to capture to `path`.
fn words(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound => format!("cannot write {path}: the folder does not exist"),
        ErrorKind::PermissionDenied => {
            format!("cannot write {path}: no permission; the appliance's user must own the folder")
        }
        _ if error.raw_os_error() == Some(libc::ELOOP) => {
            format!("cannot write {path}: it is a symbolic link, which captures do not follow")
        }
        _ => format!("cannot write {path}: {error}"),
    }
}

/// A file, and those before it where there are several.
#[derive(Debug)]
pub(super) struct Files {
    /// As the settings have it.
    path: PathBuf,
    max_bytes: Option<u64>,
    keep: Option<usize>,
    started: u32,
    finished: VecDeque<PathBuf>,
    current: File,
    current_path: PathBuf,
    bytes: u64,
}

impl Files {
    fn open(path: &Path, max_bytes: Option<u64>, keep: Option<u32>) -> Result<Files, String> {
        let started = 1;
        let current_path = match max_bytes {
            None => path.to_owned(),
            Some(_) => numbered(path, started, SystemTime::now()),
        };
        Ok(Files {
            current: create(&current_path)?,
            current_path,
            path: path.to_owned(),
            max_bytes,
            keep: keep.map(|n| n as usize),
            started,
            finished: VecDeque::new(),
            bytes: 0,
        })
    }

    /// Whether so many more bytes belong into another file.
    pub fn is_full(&self, pending: usize, more: usize) -> bool {
        let bytes = self.bytes + pending as u64 + more as u64;
        self.max_bytes.is_some_and(|max| bytes > max)
    }

    /// Goes on in another file, and removes the oldest where there are too many.
    pub fn next(&mut self) -> Result<(), String> {
        self.started = self.started.wrapping_add(1);
        let path = numbered(&self.path, self.started, SystemTime::now());
        self.current = create(&path)?;
        self.finished
            .push_back(std::mem::replace(&mut self.current_path, path));
        self.bytes = 0;
        while self.keep.is_some_and(|keep| self.finished.len() >= keep) {
            let Some(oldest) = self.finished.pop_front() else {
                break;
            };
            if let Err(error) = std::fs::remove_file(&oldest) {
                tracing::warn!(path = %oldest.display(), %error, "an old capture file stays");
            }
        }
        Ok(())
    }

    /// One file over an open one, for tests.
    #[cfg(test)]
    pub fn over(current: File) -> Files {
        Files {
            path: PathBuf::new(),
            max_bytes: None,
            keep: None,
            started: 1,
            finished: VecDeque::new(),
            current,
            current_path: PathBuf::new(),
            bytes: 0,
        }
    }
}

/// Creates a regular file, or empties it.
fn create(path: &Path) -> Result<File, String> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .mode(MODE)
        // Not through a link that somebody else has laid, and not waiting for anything.
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
        .open(path)
        .map_err(|error| words(path, &error))?;
    let is_file = file.metadata().is_ok_and(|data| data.is_file());
    if !is_file {
        return Err(format!("cannot write {}: it is not a file", path.display()));
    }
    // Only now that it is known to be a file.
    file.set_len(0).map_err(|error| words(path, &error))?;
    Ok(file)
}

/// `dir/name.pcapng` with a number and a time (UTC): `dir/name_00001_20260131235959.pcapng`.
fn numbered(path: &Path, number: u32, time: SystemTime) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_os_string();
    let mut name = part(path.file_stem());
    name.push(format!("_{number:05}_{}", timestamp(time)));
    if path.extension().is_some() {
        name.push(".");
        name.push(part(path.extension()));
    }
    path.with_file_name(name)
}

/// `20260131235959`, UTC. Days to a date after Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms".
fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // months since March
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

/// A named pipe, with a reader or waiting for one.
#[derive(Debug)]
pub(super) struct Pipe {
    path: PathBuf,
    end: Option<File>,
    /// We made it, and remove it at the end.
    made: bool,
}

impl Pipe {
    /// Makes the pipe unless it is there.
    fn prepare(path: &Path) -> Result<Pipe, String> {
        let made = match mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(MODE), 0) {
            Ok(()) => true,
            Err(rustix::io::Errno::EXIST) if is_pipe(path) => false,
            Err(rustix::io::Errno::EXIST) => {
                return Err(format!(
                    "cannot make the pipe {}: there is something else of that name",
                    path.display()
                ));
            }
            Err(error) => return Err(words(path, &error.into())),
        };
        let mut pipe = Pipe {
            path: path.to_owned(),
            end: None,
            made,
        };
        pipe.connect()?;
        Ok(pipe)
    }

    /// Opens the pipe if it has a reader. True when it is open.
    ///
    /// # Errors
    /// What is wrong, when it is more than that there is no reader.
    pub fn connect(&mut self) -> Result<bool, String> {
        if self.end.is_some() {
            return Ok(true);
        }
        let opened = OpenOptions::new()
            .write(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
            .open(&self.path);
        match opened {
            Ok(end) if end.metadata().is_ok_and(|data| data.file_type().is_fifo()) => {
                // Where the limit for users is lower, it stays at 64 KiB.
                let _ = rustix::pipe::fcntl_setpipe_size(&end, PIPE_BYTES);
                self.end = Some(end);
                Ok(true)
            }
            Ok(_) => Err(format!("{} is no longer a pipe", self.path.display())),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(false),
            Err(error) => Err(words(&self.path, &error)),
        }
    }

    /// Rust ignores SIGPIPE from a program's start, so that a reader that is gone is an error here.
    fn write(&mut self, bytes: &[u8]) -> io::Result<Written> {
        let Some(end) = &mut self.end else {
            return Ok(Written::ReaderGone);
        };
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match end.write(rest) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    self.end = None;
                    return Ok(Written::ReaderGone);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Written::Some(written))
    }

    /// Closes the end.
    pub fn hang_up(&mut self) {
        self.end = None;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.made && is_pipe(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_what_date_says() {
        for (seconds, text) in [
            (0, "19700101000000"),
            (951_782_399, "20000228235959"),
            (951_782_400, "20000229000000"),
            (951_868_800, "20000301000000"),
            (1_709_251_199, "20240229235959"),
            (1_767_225_599, "20251231235959"),
            (4_107_542_400, "21000301000000"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn names_keep_their_ending() {
        let name = |path| {
            numbered(Path::new(path), 12, UNIX_EPOCH)
                .display()
                .to_string()
        };
        assert_eq!(name("/a/b.pcapng"), "/a/b_00012_19700101000000.pcapng");
        assert_eq!(name("/a.b/c"), "/a.b/c_00012_19700101000000");
    }
}
