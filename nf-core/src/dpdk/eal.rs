//! EAL start-up: from a few settings to one running environment per process.
//!
//! EAL can be initialised once per process and never again, so [`Eal::init`] hands out one
//! `&'static Eal`; whoever holds it knows that DPDK runs. Arguments come from one function, so that
//! what is benchmarked, tested and shipped starts alike.

use std::ffi::{CString, c_char};
use std::io::{BufRead, BufReader};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use thiserror::Error;

use super::error::DpdkError;
use super::thread::available_cpus;

/// What to do about hugepages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HugepagePolicy {
    /// Use them when enough are free, else fall back to normal pages with a warning.
    #[default]
    Auto,
    /// Refuse to start without them.
    Required,
    /// Never use them (functional tests; a third of the speed).
    Off,
}

/// DPDK's own log levels, from quiet to talkative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Warnings and errors.
    #[default]
    Warning,
    /// What a user may want to know.
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    fn number(self) -> u32 {
        match self {
            LogLevel::Error => 4,
            LogLevel::Warning => 5,
            LogLevel::Info => 7,
            LogLevel::Debug => 8,
        }
    }
}

/// How to start EAL.
#[derive(Debug, Clone)]
pub struct EalConfig {
    /// File prefix: separates the run-time files of instances on one machine.
    pub prefix: String,
    /// Memory to reserve, MiB.
    pub memory_mib: u32,
    /// Hugepage policy.
    pub hugepages: HugepagePolicy,
    /// Keep no files in hugetlbfs (needs no mount; no secondary processes).
    pub in_memory: bool,
    /// PCI devices to probe, "ADDRESS" or "ADDRESS,key=value,..."; empty means that the PCI bus is not
    /// scanned.
    pub pci: Vec<String>,
    /// Further arguments, put behind our own.
    pub extra_args: Vec<String>,
    /// DPDK's log level.
    pub log_level: LogLevel,
    /// Open DPDK's own telemetry socket.
    pub telemetry: bool,
    /// One file for all memory segments, which memif's zero-copy mode needs.
    pub single_file_segments: bool,
}

impl Default for EalConfig {
    fn default() -> EalConfig {
        EalConfig {
            prefix: "sluice".into(),
            memory_mib: 256,
            hugepages: HugepagePolicy::Auto,
            in_memory: true,
            pci: Vec::new(),
            extra_args: Vec::new(),
            log_level: LogLevel::Warning,
            telemetry: false,
            single_file_segments: false,
        }
    }
}

/// Why EAL did not start.
#[derive(Debug, Error)]
pub enum EalError {
    /// Hugepages were asked for and are not there.
    #[error(
        "{needed_mib} MiB of hugepages are needed and {free_mib} MiB are free: reserve more \
         (`echo {pages} > /proc/sys/vm/nr_hugepages`), lower eal.memory_mb, or set eal.hugepages to \
         \"auto\" to run on normal pages at about a third of the speed"
    )]
    NoHugepages {
        /// MiB asked for.
        needed_mib: u64,
        /// MiB free.
        free_mib: u64,
        /// Number of 2 MiB pages that would do.
        pages: u64,
    },
    /// A second initialisation in one process.
    #[error("DPDK's environment was already started in this process, and can be started once only")]
    AlreadyStarted,
    /// A setting holds a zero byte.
    #[error("the setting {0:?} holds a zero byte, which DPDK cannot take")]
    ZeroByte(String),
    /// EAL refused.
    #[error("DPDK's environment did not start: {error}{hint}")]
    Init {
        /// What EAL said.
        error: DpdkError,
        /// What may help.
        hint: String,
    },
}

/// Proof that DPDK's environment runs in this process.
#[derive(Debug)]
pub struct Eal {
    uses_hugepages: bool,
    /// Control-plane calls of DPDK are not thread-safe against each other.
    control: Mutex<()>,
}

static EAL: OnceLock<Result<Eal, ()>> = OnceLock::new();

/// Bytes of free hugepages of all sizes.
pub fn hugepages_free_bytes() -> u64 {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return 0;
    };
    let mut total = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(kib) = name
            .to_str()
            .and_then(|name| name.strip_prefix("hugepages-"))
            .and_then(|size| size.strip_suffix("kB"))
            .and_then(|size| size.parse::<u64>().ok())
        else {
            continue;
        };
        total += read_number(&entry.path().join("free_hugepages")) * kib * 1024;
    }
    total
}

fn read_number(path: &Path) -> u64 {
    std::fs::read_to_string(path)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// The EAL command line for these settings, and whether it uses hugepages.
///
/// `--iova-mode=va` always, so that runs are alike with and without root; left out for PCI ports,
/// where the bus decides. `--lcores` leaves the main thread on every CPU, because EAL would pin it
/// otherwise and all threads started later would inherit that.
fn arguments(
    config: &EalConfig,
    cpus: &[usize],
    free_bytes: u64,
) -> Result<(Vec<String>, bool), EalError> {
    let needed = u64::from(config.memory_mib) << 20;
    let enough = free_bytes >= needed;
    let hugepages = match config.hugepages {
        HugepagePolicy::Off => false,
        HugepagePolicy::Auto => enough,
        HugepagePolicy::Required if enough => true,
        HugepagePolicy::Required => {
            return Err(EalError::NoHugepages {
                needed_mib: needed >> 20,
                free_mib: free_bytes >> 20,
                pages: needed.div_ceil(2 << 20),
            });
        }
    };
    let cpu_list = cpus
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(",");
    let mut args = vec![
        "sluice".to_owned(),
        format!("--lcores=0@({cpu_list})"),
        format!("--file-prefix={}", config.prefix),
        format!("--log-level={}", config.log_level.number()),
        "-m".to_owned(),
        config.memory_mib.to_string(),
    ];
    if config.pci.is_empty() {
        args.push("--no-pci".to_owned());
        args.push("--iova-mode=va".to_owned());
    } else {
        args.extend(
            config
                .pci
                .iter()
                .map(|address| format!("--allow={address}")),
        );
    }
    if !hugepages {
        // DPDK 22.11 refuses --in-memory together with --no-huge.
        args.push("--no-huge".to_owned());
        args.push("--no-shconf".to_owned());
    } else if config.in_memory {
        args.push("--in-memory".to_owned());
    } else {
        args.push("--huge-unlink".to_owned());
    }
    if config.single_file_segments && hugepages {
        args.push("--single-file-segments".to_owned());
    }
    if !config.telemetry {
        args.push("--no-telemetry".to_owned());
    }
    args.extend(config.extra_args.iter().cloned());
    Ok((args, hugepages))
}

impl Eal {
    /// Starts DPDK's environment. Once per process: a second call is an error.
    ///
    /// DPDK's log lines go to `tracing` under the target `dpdk`.
    pub fn init(config: &EalConfig) -> Result<&'static Eal, EalError> {
        let mut failure = None;
        let mut first = false;
        let state = EAL.get_or_init(|| {
            first = true;
            Eal::start(config).map_err(|error| failure = Some(error))
        });
        match (state, failure) {
            (_, Some(error)) => Err(error),
            (Ok(eal), None) if first => Ok(eal),
            _ => Err(EalError::AlreadyStarted),
        }
    }

    /// The running environment, if there is one.
    pub fn get() -> Option<&'static Eal> {
        EAL.get().and_then(|state| state.as_ref().ok())
    }

    fn start(config: &EalConfig) -> Result<Eal, EalError> {
        let (args, hugepages) = arguments(config, &available_cpus(), hugepages_free_bytes())?;
        if !hugepages && config.hugepages == HugepagePolicy::Auto {
            tracing::warn!(
                "RUNNING WITHOUT HUGEPAGES: fewer than {} MiB are free, so packets live in normal pages, \
                 at about a third of the speed; reserve some with `echo 512 > /proc/sys/vm/nr_hugepages`",
                config.memory_mib
            );
        }
        tracing::debug!(?args, "starting DPDK's environment");
        let strings = args
            .into_iter()
            .map(|arg| CString::new(arg.clone()).map_err(|_| EalError::ZeroByte(arg)))
            .collect::<Result<Vec<CString>, EalError>>()?;
        // EAL permutes the array and keeps pointers into the strings: both live for ever.
        let mut pointers: Vec<*mut c_char> = strings.into_iter().map(CString::into_raw).collect();
        let count = pointers.len() as i32;
        pointers.push(std::ptr::null_mut());
        forward_log_lines();
        // What is registered first runs last: after DPDK's own handlers, which remove its socket.
        // SAFETY: a function that may run at any time of the exit.
        unsafe { libc::atexit(remove_runtime_folder) };
        // SAFETY: `pointers` holds `count` valid C strings and a terminating null, never freed.
        let code = unsafe { dpdk_sys::rte_eal_init(count, pointers.leak().as_mut_ptr()) };
        if code < 0 {
            let error = DpdkError::from_rte_errno("rte_eal_init");
            return Err(EalError::Init {
                error,
                hint: init_hint(error.errno, config),
            });
        }
        Ok(Eal {
            uses_hugepages: hugepages,
            control: Mutex::new(()),
        })
    }

    /// Whether packets live in hugepages.
    pub fn uses_hugepages(&self) -> bool {
        self.uses_hugepages
    }

    /// DPDK's version, e.g. "DPDK 22.11.11".
    pub fn version(&self) -> String {
        // SAFETY: returns a static string.
        unsafe { std::ffi::CStr::from_ptr(dpdk_sys::rte_version()) }
            .to_string_lossy()
            .into_owned()
    }

    /// Cycles of the time-stamp counter in a second, as EAL found them.
    pub fn tsc_hz(&self) -> u64 {
        // SAFETY: a plain getter, valid after init.
        unsafe { dpdk_sys::rte_get_tsc_hz() }
    }

    /// Serialises calls into DPDK's control plane, which is not thread-safe.
    pub(crate) fn control<R>(&self, call: impl FnOnce() -> R) -> R {
        let _guard = self
            .control
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        call()
    }

    /// Gives EAL's resources back; nothing of DPDK may be used afterwards.
    ///
    /// # Safety
    /// No port, pool, packet or registered thread is left.
    pub unsafe fn cleanup(&self) {
        // SAFETY: the caller's promise.
        self.control(|| unsafe { dpdk_sys::rte_eal_cleanup() });
    }
}

fn init_hint(errno: i32, config: &EalConfig) -> String {
    match errno {
        0 | libc::EAGAIN if !config.in_memory => {
            format!("; is another instance named {:?} running?", config.prefix)
        }
        libc::EACCES | libc::EPERM => {
            "; this needs root, or the capabilities listed in docs/security.md".into()
        }
        libc::ENOMEM => "; is enough memory free? See eal.memory_mb".into(),
        libc::ENODEV => {
            "; a device in the configuration is not there, or no driver knows it".into()
        }
        _ => String::new(),
    }
}

/// Removes the folder that EAL makes for an instance's run-time files, if nothing is left in it.
extern "C" fn remove_runtime_folder() {
    // SAFETY: a static string, empty when EAL has not come that far.
    unsafe { libc::rmdir(dpdk_sys::rte_eal_get_runtime_dir()) };
}

/// What DPDK logged during a call.
#[derive(Default)]
struct Overheard {
    lines: Vec<String>,
    complete: bool,
}

/// A line of our own behind all that a call has logged.
const MARK: &str = "sluice: end of call";

/// How long the log's thread may take to come to the mark.
const MARK_PATIENCE: Duration = Duration::from_secs(1);

static LOG_STREAM: AtomicPtr<libc::FILE> = AtomicPtr::new(std::ptr::null_mut());
static OVERHEARD: Mutex<Option<Overheard>> = Mutex::new(None);
static MARK_SEEN: Condvar = Condvar::new();

/// Makes a call into DPDK. When it fails, `explain` is given what DPDK logged meanwhile, which often
/// is the only place where the reason stands; otherwise that goes the usual way.
pub(super) fn overhear<T, E>(
    call: impl FnOnce() -> Result<T, E>,
    explain: impl FnOnce(E, &[String]) -> E,
) -> Result<T, E> {
    let lock = || OVERHEARD.lock().unwrap_or_else(PoisonError::into_inner);
    let stream = LOG_STREAM.load(Ordering::Acquire);
    if stream.is_null() {
        return call();
    }
    *lock() = Some(Overheard::default());
    let result = call();
    // SAFETY: the stream is never closed; a C string that holds one line.
    unsafe { libc::fputs(c"sluice: end of call\n".as_ptr(), stream) };
    let pending = |heard: &mut Option<Overheard>| heard.as_ref().is_some_and(|h| !h.complete);
    let heard = MARK_SEEN
        .wait_timeout_while(lock(), MARK_PATIENCE, pending)
        .unwrap_or_else(PoisonError::into_inner)
        .0
        .take()
        .unwrap_or_default();
    match result {
        Ok(value) => {
            heard.lines.iter().for_each(|line| log_line(line));
            Ok(value)
        }
        Err(error) => {
            for line in &heard.lines {
                tracing::debug!(target: "dpdk", "{line}");
            }
            Err(explain(error, &heard.lines))
        }
    }
}

/// The line that says what went wrong, without the name of the function that logged it.
pub(super) fn reason(lines: &[String]) -> Option<String> {
    let line = lines.iter().find(|line| is_complaint(line))?;
    let text = line
        .rsplit_once("(): ")
        .map_or(line.as_str(), |(_, text)| text);
    Some(text.trim().to_owned())
}

/// Whether a line of DPDK tells of a failure.
fn is_complaint(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    !FALSE_ALARMS.iter().any(|known| line.contains(known))
        && ["error", "fail", "cannot", "couldn't", "invalid", "unable"]
            .iter()
            .any(|word| lower.contains(word))
}

/// Sends what DPDK logs through a pipe to `tracing`.
fn forward_log_lines() {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return; // DPDK then logs to stderr, which is no loss.
    }
    // SAFETY: the descriptor was just made and is owned by nobody else.
    let reading = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above; the stream keeps the descriptor for the process's life.
    let stream = unsafe { libc::fdopen(ends[1], c"w".as_ptr()) };
    if stream.is_null() {
        return;
    }
    // SAFETY: a fresh stream; a line buffer makes one log line one read.
    unsafe { libc::setvbuf(stream, std::ptr::null_mut(), libc::_IOLBF, 4096) };
    // SAFETY: DPDK writes to the stream and never closes it.
    unsafe { dpdk_sys::rte_openlog_stream(stream.cast()) };
    LOG_STREAM.store(stream, Ordering::Release);
    let spawned = std::thread::Builder::new()
        .name("dpdk-log".into())
        .spawn(move || {
            for line in BufReader::new(std::fs::File::from(reading))
                .lines()
                .map_while(Result::ok)
            {
                let mut overheard = OVERHEARD.lock().unwrap_or_else(PoisonError::into_inner);
                match (line.as_str(), &mut *overheard) {
                    (MARK, Some(heard)) => {
                        heard.complete = true;
                        MARK_SEEN.notify_all();
                    }
                    (MARK, None) => {}
                    (line, Some(heard)) => heard.lines.push(line.trim_end().to_owned()),
                    (line, None) => log_line(line.trim_end()),
                }
            }
        });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread for DPDK's log");
    }
}

/// Lines that DPDK prints as errors or warnings in every healthy start without a hugetlbfs mount.
const FALSE_ALARMS: &[&str] = &[
    "No available 1048576 kB hugepages reported",
    "No free 1048576 kB hugepages reported",
    "Failed to send start req to secondary",
    "qdisc_create_multiq()",
    "Could not add multiq qdisc",
    "failed to create multiq qdisc",
    "Disabling rte flow support",
    "Specified qdisc kind is unknown",
    "Remote feature is not usable",
    "No legacy callbacks, legacy socket not created",
    "Failed to register mp action callback",
];

fn log_line(line: &str) {
    if line.is_empty() {
        return;
    }
    if FALSE_ALARMS.iter().any(|known| line.contains(known)) {
        tracing::debug!(target: "dpdk", "{line}");
    } else if is_complaint(line) {
        tracing::warn!(target: "dpdk", "{line}");
    } else {
        tracing::info!(target: "dpdk", "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(config: &EalConfig, free: u64) -> Vec<String> {
        arguments(config, &[0, 1], free).expect("valid settings").0
    }

    #[test]
    fn hugepages_in_memory_is_the_usual_start() {
        let args = args(&EalConfig::default(), 1 << 30);
        assert!(args.contains(&"--in-memory".to_owned()));
        assert!(args.contains(&"--no-pci".to_owned()));
        assert!(args.contains(&"--lcores=0@(0,1)".to_owned()));
        assert!(!args.contains(&"--no-huge".to_owned()));
    }

    #[test]
    fn without_free_hugepages_auto_falls_back_and_never_combines_with_in_memory() {
        let (args, hugepages) = arguments(&EalConfig::default(), &[0], 0).expect("falls back");
        assert!(!hugepages);
        assert!(args.contains(&"--no-huge".to_owned()));
        assert!(!args.contains(&"--in-memory".to_owned()));
    }

    #[test]
    fn required_hugepages_that_are_missing_are_one_clear_sentence() {
        let config = EalConfig {
            hugepages: HugepagePolicy::Required,
            memory_mib: 512,
            ..EalConfig::default()
        };
        let error = arguments(&config, &[0], 64 << 20).expect_err("too few");
        assert_eq!(
            error.to_string(),
            "512 MiB of hugepages are needed and 64 MiB are free: reserve more \
             (`echo 256 > /proc/sys/vm/nr_hugepages`), lower eal.memory_mb, or set eal.hugepages to \"auto\" \
             to run on normal pages at about a third of the speed"
        );
    }

    #[test]
    fn pci_ports_are_allowed_one_by_one_and_nothing_else_is_probed() {
        let config = EalConfig {
            pci: vec!["0000:01:00.0".into()],
            ..EalConfig::default()
        };
        let args = args(&config, 1 << 30);
        assert!(args.contains(&"--allow=0000:01:00.0".to_owned()));
        assert!(!args.contains(&"--no-pci".to_owned()));
    }
}
